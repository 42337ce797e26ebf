"""Whether this machine's clock may be believed when something is to be forgotten for good: one that leaps ahead makes the young look old."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from service import telemetry

AHEAD_MAX: Final = timedelta(days=1)

_PRESENT: Final = "select clock_timestamp()"
_LOG: Final = telemetry.logger("clock")


def _machine() -> datetime:
    return datetime.now(UTC)


class ClockTrust:
    """Of one process, from its start on; `now` is the machine's clock, whatever an installation's is made of."""

    def __init__(self, now: Callable[[], datetime] = _machine) -> None:
        self._now = now
        self._began_at = now()
        self._began_s = _counted_s()

    async def may_forget(self, connection: Any, what: str) -> bool:
        """False, told and counted, when the clock is more than AHEAD_MAX ahead of PostgreSQL's, or of the time that has passed here.

        Where PostgreSQL lives on this machine only the second can tell, and it knows nothing of what was before this process.
        """
        leapt = self._now() - self._began_at - timedelta(seconds=_counted_s() - self._began_s)
        ahead = self._now() - await connection.fetchval(_PRESENT)
        if max(leapt, ahead) <= AHEAD_MAX:
            return True
        telemetry.FAILURES.labels("clock_ahead").inc()
        _LOG.error("the clock has leapt ahead; nothing old is forgotten", what=what, leapt=str(leapt), ahead=str(ahead))
        return False


def _counted_s() -> float:
    """Seconds that nobody sets, also those in which the machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
