"""UUIDs where many are made: one in a tenth of the time, or many at once, as (n, 16) bytes and as text."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
from asyncpg.pgproto import pgproto

from schema.ids import milliseconds, uuid7_bytes

Bytes = npt.NDArray[np.uint8]

fast_uuid: Final[Callable[[str | bytes], UUID]] = pgproto.UUID
"""The driver's own kind of uuid.UUID, with the same hash and equality, made of text or of sixteen bytes."""

_DASHES: Final = (8, 13, 18, 23)
_DIGITS: Final = [place for place in range(36) if place not in _DASHES]


def texts_of(ids: Bytes) -> list[str]:
    """As str() of each of (n, 16) bytes."""
    if not len(ids):
        return []
    written = np.empty((len(ids), 36), np.uint8)
    written[:, _DASHES] = ord("-")
    written[:, _DIGITS] = np.frombuffer(ids.tobytes().hex().encode(), np.uint8).reshape(-1, 32)
    whole = written.tobytes().decode()
    return [whole[at : at + 36] for at in range(0, len(whole), 36)]


def uuid7(at: datetime, entropy: bytes) -> UUID:
    """As schema.ids.uuid7."""
    return fast_uuid(uuid7_bytes(milliseconds(at).to_bytes(6), entropy))


def uuid7s(at: datetime, entropies: Bytes) -> Bytes:
    """schema.ids.uuid7 of an instant and each of (n, 16) entropies, (n, 16)."""
    ids = np.empty((len(entropies), 16), np.uint8)
    first, second, third = entropies[:, :3].T
    ids[:, :6] = np.frombuffer(milliseconds(at).to_bytes(6), np.uint8)
    ids[:, 6], ids[:, 7], ids[:, 8] = 0x70 | first >> 4, first << 4 | second >> 4, 0x80 | third & 0x3F
    ids[:, 9:] = entropies[:, 3:10]
    return ids
