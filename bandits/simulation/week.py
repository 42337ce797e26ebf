"""The calendar of the worlds: hours of the week on one clock, on which everybody lives."""

from typing import Final

import numpy as np
import numpy.typing as npt

HOURS: Final = 168
HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
WEEK_S: Final = 7 * DAY_S
BEGIN_S: Final = 1_704_067_200.0
"""Every world begins on Monday, 1 January 2024, 00:00. Time zones are the planner's business and not told here."""

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def hour_of_week(at_s: float) -> int:
    """The hour of the week (Monday 00:00 is 0) of an instant in seconds since 1970."""
    return int((at_s - BEGIN_S) // HOUR_S) % HOURS


class Span:
    """The hours of the calendar that an interval touches: their beginnings (n,), hours of the week (n,), and how much of each it covers."""

    __slots__ = ("begins_s", "hours", "part")

    def __init__(self, from_s: float, to_s: float) -> None:
        first, last = int((from_s - BEGIN_S) // HOUR_S), int(np.ceil((to_s - BEGIN_S) / HOUR_S))
        index = np.arange(first, max(last, first))
        self.begins_s: F64 = (BEGIN_S + HOUR_S * index).astype(np.float64)
        self.hours: I64 = index % HOURS
        covered_s: F64 = np.minimum(self.begins_s + HOUR_S, to_s) - np.maximum(self.begins_s, from_s)
        self.part: F64 = np.maximum(covered_s, 0.0) / HOUR_S
