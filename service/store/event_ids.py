"""The keys by which a repeated event is known, and the UUIDv7 of each event, whose random bits come from what identifies it: the same input gives the same log."""

import struct
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import numpy as np
import xxhash

from push.uuids import fast_uuid, uuid7
from schema.event import EventType
from schema.ids import milliseconds

# What identifies an event, each part with its length before it: schema.ids.framed.
_IDENTITY: Final = struct.Struct("<IqI16s")


def key_of(event_id: str) -> UUID:
    """The key of an app's own event id: itself when it is a UUID, else its xxh3_128."""
    try:
        return fast_uuid(event_id)
    except ValueError:
        return _key_of_other(event_id)


def _key_of_other(event_id: str) -> UUID:
    """UUIDs in braces, say, are read by the standard library alone."""
    try:
        return UUID(event_id)
    except ValueError:
        return UUID(bytes=xxhash.xxh3_128_digest(event_id.encode()))


def answer_key(decision_id: UUID, slot: int, kind: EventType) -> UUID:
    """The key of an answer to a slot: the same by whatever door it is told."""
    return UUID(bytes=xxhash.xxh3_128_digest(decision_id.bytes + bytes([slot, kind])))


def id_of(user_id: int, event_key: UUID, received_at: datetime) -> UUID:
    """The id of one event."""
    return uuid7(received_at, xxhash.xxh3_128_digest(_IDENTITY.pack(8, user_id, 16, event_key.bytes)))


def ids_of(keys: Sequence[tuple[int, UUID]], received_at: Iterable[datetime]) -> list[UUID]:
    """The ids of many, by user and key: those of `id_of`, with bits moved for all at once."""
    digest, pack = xxhash.xxh3_128_digest, _IDENTITY.pack
    entropies = b"".join([digest(pack(8, user_id, 16, key.bytes)) for user_id, key in keys])
    entropy = np.frombuffer(entropies, np.uint8).reshape(-1, 16)
    instants = np.array(list(map(milliseconds, received_at)), ">u8").view(np.uint8).reshape(-1, 8)
    ids = np.empty_like(entropy)
    ids[:, :6] = instants[:, 2:]
    ids[:, 6] = 0x70 | entropy[:, 0] >> 4
    ids[:, 7] = entropy[:, 0] << 4 | entropy[:, 1] >> 4
    ids[:, 8] = 0x80 | entropy[:, 2] & 0x3F
    ids[:, 9:] = entropy[:, 3:10]
    whole = ids.tobytes()
    return [fast_uuid(whole[begin : begin + 16]) for begin in range(0, len(whole), 16)]
