"""Days and instants that a client may name: what PostgreSQL or Python cannot hold, or nobody can mean, is told by its field."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from schema.campaign import EARLIEST_ZONE
from service.errors import invalid_field

MUTE_MAX: Final = timedelta(days=3653)
AGE_YEARS_MAX: Final = 130
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def mute_of(until: datetime | None, now: datetime) -> datetime | None:
    """The end of a mute; None when it has passed already. Raises ApiError 400 for one more than ten years ahead."""
    if until is None or until <= now:
        return None
    if until - now > MUTE_MAX:
        raise invalid_field("/muted_until", "A mute ends within ten years; an opt-out (push consent false) has no end.")
    return until


def check_birth_date(day: date | None, now: datetime) -> None:
    """Raises ApiError 400 for a day that lies ahead everywhere on Earth, or more than 130 years back."""
    if day is None:
        return
    if day > (now + EARLIEST_ZONE).date():
        raise invalid_field("/birth_date", "This day lies in the future.")
    if day.year < now.year - AGE_YEARS_MAX:
        raise invalid_field("/birth_date", f"This day lies more than {AGE_YEARS_MAX} years back.")


def check_present(now: datetime) -> None:
    """Raises ApiError 400 for a virtual present outside of the years 2000 to 2200."""
    if not EARLIEST <= now < LATEST:
        raise invalid_field("/now", "The clock shows the years 2000 to 2199.")
