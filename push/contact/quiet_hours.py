"""Quiet hours on a person's own clock, as spans of time: right also on the nights on which the clock is changed."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from whenever import Instant, PlainDateTime

MINUTES: Final = 1440
_DAY: Final = timedelta(days=1)


class Window(NamedTuple):
    """Minutes of the local day; over midnight when `ends` is not after `begins`."""

    begins: int
    ends: int


Span = tuple[datetime, datetime]
"""Quiet hours as instants: from the first until the second."""


class Quiet(NamedTuple):
    """Until when it is quiet, None when it is not; and when quiet hours begin next, None when there are none."""

    until: datetime | None
    begins_at: datetime | None


def windows_in(minutes: Sequence[int]) -> tuple[Window, ...]:
    """The windows of a row: begin and end by turns."""
    return tuple(Window(*pair) for pair in zip(minutes[::2], minutes[1::2], strict=True)) if minutes else ()


def length(window: Window) -> int:
    """Minutes on a day without a change of the clock; a whole day when it ends where it begins."""
    return (window.ends - window.begins) % MINUTES or MINUTES


def widened(window: Window, margin: int) -> Window:
    """`margin` minutes longer at both ends; at most a whole day."""
    if length(window) + 2 * margin >= MINUTES:
        return Window(0, 0)
    return Window((window.begins - margin) % MINUTES, (window.ends + margin) % MINUTES)


@lru_cache(maxsize=8192)
def quiet(begin: datetime, end: datetime, zone: str, windows: tuple[Window, ...]) -> Quiet:
    """Whether any instant from `begin` to `end`, both included, lies in quiet hours.

    Args:
        begin: aware.
        end: aware, not before `begin` and less than a day after it.
        zone: IANA name.
        windows: of the person's local day.

    Returns:
        `until` is the end of the quiet hours that are met, joined with those that follow without a break; `begins_at` the beginning of
        the first ones at or after `end`.

    Raises:
        ValueError: there is no such zone.
    """
    found = spans(begin, end, zone, windows)
    met = meeting(found, begin, end)
    ahead = (starts for starts, _ in found if starts > end)
    return Quiet(None if met is None else met[1], next(ahead, None))


def spans(begin: datetime, end: datetime, zone: str, windows: Sequence[Window]) -> list[Span]:
    """All quiet hours of the time from `begin` to `end` and of the night after, in order; those that touch each other as one.

    Raises:
        ValueError: there is no such zone.
    """
    day, last = _local_day(begin, zone) - _DAY, _local_day(end, zone) + 2 * _DAY
    days = [day + number * _DAY for number in range((last - day).days + 1)]
    joined: list[Span] = []
    for starts, ends in sorted(_span(window, day, zone) for day in days for window in windows):
        if joined and starts <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ends))
        else:
            joined.append((starts, ends))
    return joined


def meeting(found: Sequence[Span], begin: datetime, end: datetime) -> Span | None:
    """The quiet hours, of those `spans` gave, in which an instant from `begin` to `end` lies; None when none does."""
    place = bisect_right(found, end, key=_begins) - 1
    return found[place] if place >= 0 and found[place][1] > begin else None


def _begins(span: Span) -> datetime:
    return span[0]


@lru_cache(maxsize=65536)
def _span(window: Window, day: date, zone: str) -> tuple[datetime, datetime]:
    """The quiet hours that begin on this local day: from the first instant that can be meant to the last."""
    ends_on = day if window.ends > window.begins else day + _DAY
    return instant(day, window.begins, zone, "earlier"), instant(ends_on, window.ends, zone, "later")


def instant(day: date, minutes: int, zone: str, disambiguation: Literal["compatible", "earlier", "later"]) -> datetime:
    """The instant of a local time that comes twice or is skipped by the given reading: compatible is the first, or what was skipped later.

    Raises:
        ValueError: there is no such zone.
    """
    local = PlainDateTime(datetime.combine(day, time(minutes // 60, minutes % 60)))
    return local.assume_tz(zone, disambiguation=disambiguation).to_instant().to_stdlib().astimezone(UTC)


@lru_cache(maxsize=4096)
def is_known(zone: str) -> bool:
    """Whether there is such a zone here."""
    try:
        Instant.from_utc(2000, 1, 1).to_tz(zone)
    except ValueError:
        return False
    return True


def _local_day(at: datetime, zone: str) -> date:
    return Instant(at).to_tz(zone).date().to_stdlib()


@lru_cache(maxsize=8192)
def day_begins(at: datetime, zone: str) -> datetime:
    """When the local day began that `at` lies in. Raises ValueError: there is no such zone."""
    return instant(_local_day(at, zone), 0, zone, "compatible")


@lru_cache(maxsize=8192)
def week_begins(at: datetime, zone: str) -> datetime:
    """When the local week (from Monday) began that `at` lies in. Raises ValueError: there is no such zone."""
    day = _local_day(at, zone)
    return instant(day - day.weekday() * _DAY, 0, zone, "compatible")
