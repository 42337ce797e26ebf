"""The ids that travel through the system, and the UUIDv7 that orders rows by time."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NewType
from uuid import UUID

import xxhash

UserId = NewType("UserId", int)

PARTITIONS: Final = 64
"""Partitions of the event log and buckets of the outbox; fixed for ever, since offsets and sums are kept per partition."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHARES: Final = float(1 << 53)
_MILLISECOND: Final = timedelta(milliseconds=1)
_VERSION_7: Final = [(0x7000 | free).to_bytes(2) for free in range(1 << 12)]
_VARIANT: Final = [bytes([0x80 | free]) for free in range(1 << 6)]


def uuid7(at: datetime, entropy: bytes) -> UUID:
    """A UUIDv7 (RFC 9562) of the instant `at`, its 74 free bits taken from the first ten bytes of `entropy`."""
    return UUID(bytes=uuid7_bytes(milliseconds(at).to_bytes(6), entropy))


def uuid7_bytes(milliseconds: bytes, entropy: bytes) -> bytes:
    """The same as its sixteen bytes, for many of one instant (its `milliseconds`, six bytes)."""
    first, second, third = entropy[0], entropy[1], entropy[2]
    return milliseconds + _VERSION_7[first << 4 | second >> 4] + _VARIANT[third & 0x3F] + entropy[3:10]


@lru_cache(maxsize=16)  # those of a batch are of one instant
def milliseconds(at: datetime) -> int:
    """Since 1970."""
    return (at - _EPOCH) // _MILLISECOND


def lowest_uuid7(at: datetime) -> UUID:
    """The smallest UUIDv7 of the instant `at` or later: the bound of a partition or of a search by time."""
    return UUID(int=((at - _EPOCH) // _MILLISECOND) << 80)


def instant_of(uuid: UUID) -> datetime:
    """The instant a UUIDv7 was made for, to the millisecond."""
    return _EPOCH + (uuid.int >> 80) * _MILLISECOND


def partition_of(user_id: int) -> int:
    """The log partition and outbox bucket of a user, 0 to 63: a stable hash, so that it holds in every process and release."""
    return int(xxhash.xxh3_64_intdigest(user_id.to_bytes(8, "little"))) % PARTITIONS


def stable_share(user_id: int, salt: str) -> float:
    """A uniform number in [0, 1) that depends on the user and the salt alone: holdout and control are drawn by it."""
    return share_of(user_id.to_bytes(8, "little") + salt.encode())


def share_of(salted: bytes) -> float:
    """As `stable_share`, of a user's number, eight bytes in little-endian order, with the salt after it."""
    return (xxhash.xxh3_64_intdigest(salted) >> 11) / _SHARES


def stable_entropy(*parts: bytes) -> bytes:
    """Sixteen bytes that depend on the parts alone; the length of each part counts."""
    return bytes(xxhash.xxh3_128_digest(framed(*parts)))


def framed(*parts: bytes) -> bytes:
    """The parts one after the other, each with its length before it."""
    return b"".join([len(part).to_bytes(4, "little") + part for part in parts])
