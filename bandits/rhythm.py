"""When a person tends to come: decayed counts of trips over the 168 local hours of the week.

What lies in the same three hours of the person's clock is one trip, and counts once, in equal parts at the hours in which something was
told of it: so the counts are a function of the set of visits, not of the order in which they are told. For that the hours of the last ten
days are remembered; an older one that is told late counts as a trip of its own.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

HOURS: Final = 168
HALF_LIFE_S: Final = 84.0 * 86400.0

TRIP_HOURS: Final = 3
RECENT_HOURS: Final = 240
"""How many hours are remembered: whole trips, and whole bytes."""

_MONDAY: Final = 96
"""1970-01-05 00:00 in hours since 1970: the first hour of a week."""

_RECENT_BYTES: Final = RECENT_HOURS // 8
RECORD: Final = np.dtype(
    [("as_of_s", "<u4"), ("newest_trip", "<u4"), ("recent", "V", _RECENT_BYTES), ("visits", "<f4", (HOURS,))]
)
"""How a rhythm is kept."""


class Rhythm:
    """Trips by local hour of the week (Monday 00:00 is 0), decayed to as_of_s; visits is (168,) float32.

    Bit k of `recent` is the hour k before the end of the trip `newest_trip`, by its number of three local hours since 1970.
    """

    __slots__ = ("as_of_s", "newest_trip", "recent", "visits")

    def __init__(self) -> None:
        self.as_of_s = 0.0
        self.newest_trip = 0
        self.recent = 0
        self.visits: npt.NDArray[np.float32] = np.zeros(HOURS, np.float32)

    def visited(self, hour: int, at_s: float) -> None:
        """A visit in the local hour of the week `hour` (0 to 167) at at_s, in seconds since 1970; counts once a trip."""
        self.decay_to(at_s)
        local = _local_hour(hour, at_s)
        self._remember_until(local // TRIP_HOURS)
        place = self._place(local)
        if place >= RECENT_HOURS:
            self._count([local], 1.0)
        elif not self.recent >> place & 1:
            before = self._hours_of(local // TRIP_HOURS)
            self.recent |= 1 << place
            self._count(before, -1.0)
            self._count([*before, local], 1.0)

    def decay_to(self, at_s: float) -> None:
        """Moves the reference instant forward; an earlier one changes nothing."""
        if at_s > self.as_of_s:
            self.visits *= np.float32(0.5 ** ((at_s - self.as_of_s) / HALF_LIFE_S)) if self.as_of_s else np.float32(1.0)
            self.as_of_s = float(int(at_s))

    def absorb(self, other: "Rhythm") -> None:
        """Adds what is known of the same person under another id."""
        as_of_s = max(self.as_of_s, other.as_of_s)
        trip = max(self.newest_trip, other.newest_trip)
        for half in (self, other):
            half.decay_to(as_of_s)
            half._remember_until(trip)  # noqa: SLF001 - of the same class
        self.visits = self.visits + other.visits
        both = self.recent | other.recent
        for number in range(trip, trip - RECENT_HOURS // TRIP_HOURS, -1):
            one, two = self._hours_of(number), other._hours_of(number)  # noqa: SLF001 - of the same class
            if one and two:
                self._count(one, -1.0)
                self._count(two, -1.0)
                self._count(sorted({*one, *two}), 1.0)
        self.recent = both

    def pack(self) -> bytes:
        """As a little-endian record."""
        record = np.zeros(1, RECORD)
        record["as_of_s"] = int(self.as_of_s)
        record["newest_trip"] = self.newest_trip
        record["recent"] = np.void(self.recent.to_bytes(_RECENT_BYTES, "little"))
        record["visits"] = self.visits
        return record.tobytes()

    def _remember_until(self, trip: int) -> None:
        if trip > self.newest_trip:
            ahead = min((trip - self.newest_trip) * TRIP_HOURS, RECENT_HOURS)
            self.recent = self.recent << ahead & ((1 << RECENT_HOURS) - 1)
            self.newest_trip = trip

    def _place(self, local: int) -> int:
        return (self.newest_trip + 1) * TRIP_HOURS - 1 - local

    def _hours_of(self, trip: int) -> list[int]:
        """The local hours of a remembered trip in which something was told of it."""
        hours = range(trip * TRIP_HOURS, (trip + 1) * TRIP_HOURS)
        return [hour for hour in hours if self.recent >> self._place(hour) & 1]

    def _count(self, local_hours: Sequence[int], times: float) -> None:
        """A trip, in equal parts at these hours; it weighs as the hour does, whenever in it the visit was."""
        for local in local_hours:
            left = 0.5 ** ((self.as_of_s - local * 3600.0) / HALF_LIFE_S)
            place = (local - _MONDAY) % HOURS
            self.visits[place] = max(float(self.visits[place]) + times / len(local_hours) * left, 0.0)


def _local_hour(hour: int, at_s: float) -> int:
    """Hours of the person's own clock since 1970: that of the hour of the week which is nearest to the instant."""
    weeks = round((at_s / 3600.0 - _MONDAY - hour) / HOURS)
    return hour + _MONDAY + HOURS * weeks


def unpack(data: bytes) -> Rhythm:
    """Reads what `pack` wrote; no bytes are a person who never came.

    Raises:
        ValueError: a length that is not that of a record, or counts that are none.
    """
    rhythm = Rhythm()
    if data:
        (record,) = np.frombuffer(data, RECORD)
        rhythm.as_of_s = float(record["as_of_s"])
        rhythm.newest_trip = int(record["newest_trip"])
        rhythm.recent = int.from_bytes(record["recent"].tobytes(), "little")
        rhythm.visits = record["visits"].copy()
        if not (np.isfinite(rhythm.visits) & (rhythm.visits >= 0.0)).all():
            raise ValueError("visits that are not counts")
    return rhythm


def merge(survivor: bytes, other: bytes) -> bytes:
    """The rhythm of a person of whom two halves were known under two ids."""
    kept = unpack(survivor)
    kept.absorb(unpack(other))
    return kept.pack()
