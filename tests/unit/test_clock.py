"""A hastened clock shows what it is told at one instant, and runs faster from then on."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from service.clock import HastenedClock, SystemClock, running_clock

SINCE = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHOWN = datetime(2030, 1, 7, tzinfo=UTC)
TEXT = f"{SHOWN.isoformat()} {SINCE.isoformat()} 60"


@pytest.mark.parametrize(
    ("real", "shown"),
    [
        (SINCE, SHOWN),
        (SINCE + timedelta(minutes=2), SHOWN + timedelta(hours=2)),
        (SINCE - timedelta(minutes=2), SHOWN - timedelta(minutes=2)),
    ],
)
async def test_it_is_hastened_from_one_instant_on(real: datetime, shown: datetime) -> None:
    clock = HastenedClock.read(TEXT)
    with time_machine.travel(real, tick=False):
        assert await clock.now() == shown


async def test_without_one_it_is_the_time_of_the_machine() -> None:
    clock = running_clock("")
    assert isinstance(clock, SystemClock)
    with time_machine.travel(SINCE, tick=False):
        assert await clock.now() == SINCE


@pytest.mark.parametrize(
    "text", ["60", "2030-01-07T00:00:00 2026-11-22T12:00:00 60", TEXT + "e9", TEXT.replace("Z", "")[:-2] + "0.5"]
)
def test_what_is_no_clock_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        HastenedClock.read(text)
