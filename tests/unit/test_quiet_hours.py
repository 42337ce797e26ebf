"""Quiet hours by what the phone's clock shows, minute by minute, through both changes of the clock in six zones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from push.contact import quiet_hours
from push.contact.quiet_hours import Window, quiet

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NIGHT = Window(21 * 60, 8 * 60)
CHANGES = {
    "America/New_York": ("2026-11-01", "2027-03-14"),
    "America/Los_Angeles": ("2026-11-01", "2027-03-14"),
    "Europe/Berlin": ("2026-10-25", "2027-03-28"),
    "Australia/Lord_Howe": ("2026-10-04", "2027-04-04"),  # by half an hour
    "America/Havana": ("2026-11-01", "2027-03-14"),  # at midnight
    "Asia/Kolkata": ("2026-11-01", "2027-03-14"),  # never
}
NIGHTS = [(zone, day) for zone, days in CHANGES.items() for day in days]


def shows_quiet(at: datetime, zone: str, window: Window) -> bool:
    """By the clock on the wall, as a person would say it."""
    local = at.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    begins, ends = window
    return begins <= minute < ends if begins < ends else not ends <= minute < begins


@pytest.mark.parametrize(("zone", "day"), NIGHTS)
@pytest.mark.parametrize("window", [NIGHT, Window(90, 150), Window(60, 90), Window(0, 30), Window(23 * 60, 150)])
def test_what_the_clock_shows_as_quiet_is_quiet(zone: str, day: str, window: Window) -> None:
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - 15 * HOUR
    instants = [begin + minutes * MINUTE for minutes in range(0, 45 * 60, 5)]
    for at in instants:
        found = quiet(at, at, zone, (window,))
        if shows_quiet(at, zone, window):
            assert found.until is not None, at
        if found.until is None:
            continue
        assert found.until > at
        assert not shows_quiet(found.until, zone, window)
        assert quiet(found.until, found.until, zone, (window,)).until is None
    # Longer than the clock shows only by what a change takes or gives, in one night at most.
    too_many = sum(
        quiet(at, at, zone, (window,)).until is not None and not shows_quiet(at, zone, window) for at in instants
    )
    assert too_many * 5 * MINUTE <= 2 * HOUR
    is_ordinary = zone == "Asia/Kolkata"
    assert not (is_ordinary and too_many)


def test_the_night_of_the_fold_is_one_night() -> None:
    # Half past two comes twice: quiet from the first half past one to the second half past two.
    zone, window = "Europe/Berlin", (Window(90, 150),)
    first = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    last = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert quiet(first - MINUTE, first - MINUTE, zone, window) == (None, first)
    assert quiet(first, first, zone, window).until == last
    assert quiet(last - MINUTE, last - MINUTE, zone, window).until == last
    assert quiet(last, last, zone, window).until is None


def test_the_gap_moves_the_end_forward() -> None:
    # There is no half past two: quiet hours that end then end at half past three.
    at = datetime(2027, 3, 28, 0, 55, tzinfo=UTC)
    assert quiet(at, at, "Europe/Berlin", (Window(60, 150),)).until == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)


def test_a_stretch_is_quiet_when_any_of_it_is() -> None:
    evening = datetime(2026, 3, 2, 20, 59, 30, tzinfo=UTC)
    morning = datetime(2026, 3, 3, 8, tzinfo=UTC)
    assert quiet(evening, evening, "UTC", (NIGHT,)) == (None, datetime(2026, 3, 2, 21, tzinfo=UTC))
    assert quiet(evening, evening + MINUTE, "UTC", (NIGHT,)).until == morning
    assert quiet(evening, evening + MINUTE / 2, "UTC", (NIGHT,)).until == morning
    assert quiet(morning, morning, "UTC", (NIGHT,)) == (None, datetime(2026, 3, 3, 21, tzinfo=UTC))


def test_windows_that_meet_are_one() -> None:
    at = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
    siesta = (Window(12 * 60, 15 * 60), Window(15 * 60, 16 * 60), Window(18 * 60, 19 * 60))
    assert quiet(at, at, "UTC", siesta) == (datetime(2026, 3, 2, 16, tzinfo=UTC), datetime(2026, 3, 2, 18, tzinfo=UTC))
    assert quiet(at, at, "UTC", ()) == (None, None)
    assert quiet(at, at, "UTC", (Window(0, 0),)).until is not None


def test_widened_windows() -> None:
    assert quiet_hours.widened(NIGHT, 120) == Window(19 * 60, 10 * 60)
    assert quiet_hours.widened(Window(30, 60), 60) == Window(23 * 60 + 30, 120)
    assert quiet_hours.widened(NIGHT, 390) == Window(0, 0)


@pytest.mark.parametrize(("zone", "day"), NIGHTS)
def test_local_days_and_weeks_begin_when_the_calendar_turns(zone: str, day: str) -> None:
    begin = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - 30 * HOUR
    for minutes in range(0, 60 * 60, 10):
        at = begin + minutes * MINUTE
        local = at.astimezone(ZoneInfo(zone))
        since = quiet_hours.day_begins(at, zone)
        assert since <= at
        assert since.astimezone(ZoneInfo(zone)).date() == local.date()
        assert (since - MINUTE).astimezone(ZoneInfo(zone)).date() < local.date()
        monday = quiet_hours.week_begins(at, zone).astimezone(ZoneInfo(zone))
        assert (monday.weekday(), monday.isocalendar()[:2]) == (0, local.isocalendar()[:2])


def test_unknown_zones() -> None:
    assert quiet_hours.is_known("Europe/Berlin")
    assert not quiet_hours.is_known("Mars/Olympus")
    with pytest.raises(ValueError, match="Mars"):
        quiet(datetime.now(UTC), datetime.now(UTC), "Mars/Olympus", (NIGHT,))
