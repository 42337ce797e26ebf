"""Local hours as instants, checked against zoneinfo over the days when clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from push.campaign.local_week import HOURS, instants, to_utc

HOUR = timedelta(hours=1)
CHANGES = [
    (
        "Europe/Berlin",
        datetime(2026, 3, 23),
        6 * 24 + 2,
        "2026-03-29T01:00",
    ),  # 02:00 is skipped, 03:00 comes in its place
    ("Europe/Berlin", datetime(2026, 10, 19), 6 * 24 + 2, "2026-10-25T00:00"),  # 02:00 comes twice, the first counts
    ("America/New_York", datetime(2026, 3, 2), 6 * 24 + 2, "2026-03-08T07:00"),
    ("America/New_York", datetime(2026, 10, 26), 6 * 24 + 1, "2026-11-01T05:00"),
    ("Australia/Lord_Howe", datetime(2026, 9, 28), 6 * 24 + 2, "2026-10-03T15:30"),  # half an hour is skipped
    ("Australia/Lord_Howe", datetime(2026, 3, 30), 6 * 24 + 1, "2026-04-04T14:00"),  # 01:30 to 02:00 come twice
    ("Australia/Lord_Howe", datetime(2026, 3, 30), 6 * 24 + 2, "2026-04-04T15:30"),
    ("Asia/Kolkata", datetime(2026, 3, 2), 0, "2026-03-01T18:30"),
]


@pytest.mark.parametrize(("zone", "monday", "hour", "expected"), CHANGES)
def test_hours_around_a_change_of_the_clock(zone: str, monday: datetime, hour: int, expected: str) -> None:
    assert instants(monday, zone)[hour] == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
@pytest.mark.parametrize("month", range(1, 13))
def test_every_hour_shows_itself_on_the_local_clock(zone: str, month: int) -> None:
    start = datetime(2026, month, 26, 13, 20)
    found = instants(start, zone)
    local = [instant.astimezone(ZoneInfo(zone)) for instant in found]
    wrong = [hour for hour, at in enumerate(local) if (at.weekday() * 24 + at.hour, at.minute) != (hour, 0)]
    assert len(found) == HOURS
    assert len(wrong) <= 1  # the one that is skipped
    assert min(found) == to_utc(datetime(2026, month, 26, 14), zone)
    assert max(found) - min(found) <= timedelta(hours=HOURS)
    in_order = sorted(found)
    assert all(
        later - earlier in (0 * HOUR, HOUR / 2, HOUR, 1.5 * HOUR, 2 * HOUR) for earlier, later in pairwise(in_order)
    )


def test_an_unknown_zone_is_told() -> None:
    with pytest.raises(ValueError, match="Mars/Olympus"):
        instants(datetime(2026, 3, 2), "Mars/Olympus")
