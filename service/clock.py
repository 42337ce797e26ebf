"""What time it is: read from the system, or from a row of the database in a virtual world (store.virtual_clock)."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Gives the present as an aware datetime in UTC."""

    async def now(self) -> datetime: ...


class SystemClock:
    """The time of this machine."""

    async def now(self) -> datetime:
        """The present in UTC."""
        return datetime.now(UTC)
