"""What time it is: read from the system, hastened for a soak, or from a row of the database in a virtual world (store.virtual_clock)."""

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, Self

PACE_MAX: Final = 100_000.0


class Clock(Protocol):
    """Gives the present as an aware datetime in UTC."""

    async def now(self) -> datetime: ...


class SystemClock:
    """The time of this machine."""

    pace: Final = 1.0

    async def now(self) -> datetime:
        """The present in UTC."""
        return datetime.now(UTC)


class HastenedClock:
    """Shows `shown` at the real instant `since`, and runs `pace` times as fast as the system's clock from then on, before it as fast.

    All processes of a machine agree on it.
    """

    def __init__(self, shown: datetime, since: datetime, pace: float) -> None:
        self.pace = pace
        self._shown = shown
        self._since = since

    @classmethod
    def read(cls, text: str) -> Self:
        """From two instants and the pace with blanks between them, as `2026-11-01T00:00:00Z 2026-11-22T12:00:00Z 60`.

        Raises:
            ValueError: it is none of that; the message says why.
        """
        shown, since, pace = text.split()
        read = cls(datetime.fromisoformat(shown), datetime.fromisoformat(since), float(pace))
        if read._shown.tzinfo is None or read._since.tzinfo is None:
            raise ValueError("an instant needs its offset, as in 2026-11-01T00:00:00Z")
        if not 1.0 <= read.pace <= PACE_MAX:
            raise ValueError(f"the pace must lie between 1 and {PACE_MAX:.0f}")
        return read

    async def now(self) -> datetime:
        """The present in UTC."""
        passed = datetime.now(UTC) - self._since
        return self._shown + passed * (self.pace if passed > timedelta() else 1.0)


def running_clock(hastened: str) -> SystemClock | HastenedClock:
    """The clock that runs by itself: the system's, unless a hastened one is told. Raises ValueError as HastenedClock.read."""
    return HastenedClock.read(hastened) if hastened else SystemClock()
