"""When a person tends to come: decayed counts of visits over the 168 local hours of the week."""

from typing import Final

import numpy as np
import numpy.typing as npt

HOURS: Final = 168
HALF_LIFE_S: Final = 84.0 * 86400.0

TRIP_GAP_S: Final = 3 * 3600.0
"""What follows a visit within this time belongs to the same trip, and is not another habit."""

_KEPT: Final = np.dtype([("as_of_s", "<u4"), ("last_s", "<u4"), ("visits", "<f4", (HOURS,))])


class Rhythm:
    """Visits by local hour of the week (Monday 00:00 is 0), decayed to as_of_s; visits is (168,) float32."""

    __slots__ = ("as_of_s", "last_s", "visits")

    def __init__(self) -> None:
        self.as_of_s = 0.0
        self.last_s = 0.0
        self.visits: npt.NDArray[np.float32] = np.zeros(HOURS, np.float32)

    def visited(self, hour: int, at_s: float) -> None:
        """A visit in the local hour of the week `hour` (0 to 167) at at_s, in seconds since 1970; counts once a trip."""
        is_same_trip = self.last_s > 0.0 and abs(at_s - self.last_s) <= TRIP_GAP_S
        self.last_s = max(self.last_s, at_s)
        if is_same_trip:
            return
        self.decay_to(at_s)
        self.visits[hour] += 0.5 ** ((self.as_of_s - at_s) / HALF_LIFE_S)

    def decay_to(self, at_s: float) -> None:
        """Moves the reference instant forward; an earlier one changes nothing."""
        if at_s > self.as_of_s:
            self.visits *= np.float32(0.5 ** ((at_s - self.as_of_s) / HALF_LIFE_S)) if self.as_of_s else np.float32(1.0)
            self.as_of_s = float(int(at_s))

    def pack(self) -> bytes:
        """As a little-endian record."""
        record = np.zeros(1, _KEPT)
        record["as_of_s"] = int(self.as_of_s)
        record["last_s"] = int(self.last_s)
        record["visits"] = self.visits
        return record.tobytes()


def unpack(data: bytes) -> Rhythm:
    """Reads what `pack` wrote; no bytes are a person who never came.

    Raises:
        ValueError: a length that is not that of a record, or counts that are none.
    """
    rhythm = Rhythm()
    if data:
        (record,) = np.frombuffer(data, _KEPT)
        rhythm.as_of_s = float(record["as_of_s"])
        rhythm.last_s = float(record["last_s"])
        rhythm.visits = record["visits"].copy()
        if not (np.isfinite(rhythm.visits) & (rhythm.visits >= 0.0)).all():
            raise ValueError("visits that are not counts")
    return rhythm


def merge(survivor: bytes, other: bytes) -> bytes:
    """The rhythm of a person of whom two halves were known under two ids."""
    kept, lost = unpack(survivor), unpack(other)
    as_of_s = max(kept.as_of_s, lost.as_of_s)
    kept.decay_to(as_of_s)
    lost.decay_to(as_of_s)
    kept.last_s = max(kept.last_s, lost.last_s)
    kept.visits = kept.visits + lost.visits
    return kept.pack()
