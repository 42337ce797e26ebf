"""Time zones by name, and the hour of the week a person's own clock shows."""

from datetime import datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

HOUR_UNKNOWN: Final = -1


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


def is_known(name: str) -> bool:
    """True for a name of the IANA database, such as Europe/Berlin."""
    return name in _names()


@cache
def _zone(name: str) -> ZoneInfo | None:
    return ZoneInfo(name) if is_known(name) else None


def local_hour(at: datetime, zone_name: str | None) -> int:
    """The hour of the week, Monday 00:00 local time being 0, up to 167; HOUR_UNKNOWN without a zone."""
    zone = _zone(zone_name) if zone_name else None
    if zone is None:
        return HOUR_UNKNOWN
    local = at.astimezone(zone)
    return local.weekday() * 24 + local.hour
