"""The hours of a window on the clock of a time zone, as instants."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from whenever import PlainDateTime

HOURS: Final = 168


@lru_cache(maxsize=2048)
def instants(occurrence: datetime, zone: str) -> tuple[datetime, ...]:
    """For each local hour of the week (Monday 00:00 is 0) when it first begins at or after `occurrence`.

    Args:
        occurrence: naive, the start of the window on any local clock; moved up to a full hour.
        zone: IANA name.

    Returns:
        168 aware instants in UTC. An hour whose beginning daylight saving skips begins when the clock has sprung forward; of one
        that comes twice the first counts.

    Raises:
        ValueError: there is no such zone.
    """
    start = occurrence.replace(minute=0, second=0, microsecond=0)
    start += timedelta(hours=1) if start < occurrence else timedelta()
    found = [occurrence] * HOURS
    for offset in range(HOURS):
        local = start + timedelta(hours=offset)
        found[local.weekday() * 24 + local.hour] = to_utc(local, zone)
    return tuple(found)


def to_utc(local: datetime, zone: str) -> datetime:
    """The instant of a naive local time; skipped times move forward by what was skipped, repeated ones mean the first.

    Raises:
        ValueError: there is no such zone.
    """
    moment = PlainDateTime(local).assume_tz(zone, disambiguation="compatible")
    return moment.to_instant().to_stdlib().astimezone(UTC)
