"""Many UUIDs at once, as (n, 16) bytes and as text."""

from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from schema.ids import milliseconds

Bytes = npt.NDArray[np.uint8]

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


def uuid7s(at: datetime, entropies: Bytes) -> Bytes:
    """schema.ids.uuid7 of an instant and each of (n, 16) entropies, (n, 16)."""
    ids = np.empty((len(entropies), 16), np.uint8)
    first, second, third = entropies[:, :3].T
    ids[:, :6] = np.frombuffer(milliseconds(at).to_bytes(6), np.uint8)
    ids[:, 6], ids[:, 7], ids[:, 8] = 0x70 | first >> 4, first << 4 | second >> 4, 0x80 | third & 0x3F
    ids[:, 9:] = entropies[:, 3:10]
    return ids
