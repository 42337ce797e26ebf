"""The clock on the wall where the households live: instants to hours of the local week, and back."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

ZONE: Final = "America/New_York"
HOURS: Final = 168
FIRST_MONDAY: Final = datetime(2017, 3, 13)  # noqa: DTZ001 - a time on the local clock
"""Local start of the first decision week: ten weeks of history come before it."""
WEEKS_MAX: Final = 42
"""Decision weeks until the data ends."""

_ZONE: Final = ZoneInfo(ZONE)
_HOUR_S: Final = 3600
_THURSDAY_H: Final = 72  # 1970-01-01 was a Thursday

Ints = NDArray[np.int64]


def local_hours(at_s: NDArray[Any]) -> Ints:
    """Whole hours of the local clock since Monday 1969-12-29 00:00, for instants in Unix seconds; any shape."""
    if at_s.size == 0:
        return np.zeros(at_s.shape, np.int64)
    first = int(at_s.min()) // _HOUR_S
    hours = range(first, int(at_s.max()) // _HOUR_S + 1)
    offsets = np.array([_offset_s(hour * _HOUR_S) for hour in hours], np.int64)
    found: Ints = (at_s + offsets[at_s // _HOUR_S - first]) // _HOUR_S + _THURSDAY_H
    return found


def hours_of_week(at_s: NDArray[Any]) -> Ints:
    """Hour of the local week of each instant; Monday 00:00 is 0."""
    found: Ints = local_hours(at_s) % HOURS
    return found


def weeks_of(at_s: NDArray[Any]) -> Ints:
    """Decision week of each instant, by the local calendar; negative in the history."""
    first = int(FIRST_MONDAY.replace(tzinfo=UTC).timestamp()) // _HOUR_S + _THURSDAY_H
    found: Ints = (local_hours(at_s) - first) // HOURS
    return found


def instants(weeks: int) -> Ints:
    """Unix seconds at which each local hour of each decision week begins, (weeks + 1, 168): one week more than is decided.

    A skipped hour begins when the clock has sprung forward, a repeated one at its first.
    """
    local = (FIRST_MONDAY + timedelta(hours=hour) for hour in range((weeks + 1) * HOURS))
    found = np.array([int(moment.replace(tzinfo=_ZONE).timestamp()) for moment in local], np.int64)
    return found.reshape(weeks + 1, HOURS)


def _offset_s(at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, _ZONE).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
