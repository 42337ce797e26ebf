"""How much traffic a soak is, over how many days of the product's clock, and how long it may take."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

BEGINS_AT: Final = datetime(2030, 1, 7, tzinfo=UTC)
"""A Monday, of which the first hour is the first of the run."""
DISK_BYTES_PER_EVENT: Final = 1_000
"""Rounded up from what was measured (docs/soak.md)."""
DISK_BYTES_AT_LEAST: Final = 4 * 2**30


class NoRoomError(Exception):
    """The disk has no room for what the run would write."""


class Plan(NamedTuple):
    """`events` over `days` of the product's clock, which goes by in `minutes`; whatever was reached by `minutes_max` is judged.

    The days begin `lead_s` after the start of the server, which should be ready by then.
    """

    seed: str
    events: int
    days: float
    minutes: float
    minutes_max: float
    people: int
    phones: int
    lanes: int
    lead_s: float
    workers: int = 2

    @property
    def pace(self) -> float:
        """How many times as fast as the real one the product's clock runs."""
        return self.days * 1_440 / self.minutes

    @property
    def disk_bytes(self) -> int:
        """The most that it should take."""
        return DISK_BYTES_AT_LEAST + self.events * DISK_BYTES_PER_EVENT


FULL: Final = Plan("", 20_000_000, 8.5, 60.0, 180.0, people=100_000, phones=4_000, lanes=8, lead_s=60.0)
SHORT: Final = Plan("", 40_000, 2.2, 0.6, 2.0, people=2_000, phones=100, lanes=4, lead_s=15.0)


class SoakClock(NamedTuple):
    """The product's clock as we know it too: `shown` at the real instant `since`, `pace` times as fast from then on, before it as fast."""

    shown: datetime
    since: datetime
    pace: float

    @property
    def setting(self) -> str:
        """As WELLTIMED_HASTENED_CLOCK has it."""
        return f"{self.shown.isoformat()} {self.since.isoformat()} {self.pace!r}"

    def now(self) -> datetime:
        """The present of the product."""
        passed = datetime.now(UTC) - self.since
        return self.shown + passed * (self.pace if passed > timedelta() else 1.0)

    def days_since(self, instant: datetime) -> float:
        """Days of the product's clock since an instant of it."""
        return (self.now() - instant) / timedelta(days=1)


def check_room(plan: Plan, folder: Path) -> None:
    """Raises NoRoomError when the disk of `folder` has not room enough."""
    free = shutil.disk_usage(folder).free
    if free < plan.disk_bytes:
        raise NoRoomError(f"{plan.disk_bytes / 2**30:.1f} GiB are needed below {folder}, {free / 2**30:.1f} are free")
