"""Work that is done again and again; what goes wrong in one round, whatever it is, is told, and ends neither this work nor any other."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from push.clock import goes_on, pause
from service import telemetry
from service.clock import Clock
from service.store.pool import LOST

RETRY_S: Final = 1.0
WOKEN_AFTER_S: Final = 0.1
"""Not sooner, so that what many events plan is drawn in few batches."""

_LOG: Final = telemetry.logger("rounds")

Work = Callable[[datetime], Awaitable[Any]]


class Rounds:
    """Of one process, until it is stopped."""

    def __init__(self, clock: Clock, stop: asyncio.Event) -> None:
        self._clock = clock
        self._stop = stop

    async def every(self, seconds: float, work: Work, woken: asyncio.Event | None = None) -> None:
        """Works again and again, after a pause that ends when it is woken."""
        while goes_on(self._stop):
            pause_s, awaited = seconds, woken or self._stop
            if woken is not None:
                woken.clear()
            try:
                await work(await self._clock.now())
            except LOST as error:
                _LOG.warning("work will be tried again", work=work.__name__, error=type(error).__name__)
                pause_s, awaited = RETRY_S, self._stop
            except Exception:  # noqa: BLE001 - whatever it is, the other rounds go on
                failed(work.__name__)
                pause_s, awaited = RETRY_S, self._stop
            await pause(WOKEN_AFTER_S, self._stop)
            await pause(pause_s - WOKEN_AFTER_S, awaited)


def failed(work: str) -> None:
    """Counts and tells a failure that is being handled."""
    telemetry.FAILURES.labels(work).inc()
    _LOG.exception("work failed and will be tried again", work=work)
