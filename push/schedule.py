"""The one door to APScheduler: a few recurrent jobs, on the one node that holds the lock."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger


class Tick(NamedTuple):
    """A job that may run twice or late without harm; it is given the epoch of the leadership under which it runs."""

    name: str
    every_s: float
    run: Callable[[int], Awaitable[None]]


class _Every(IntervalTrigger):  # type: ignore[misc] # APScheduler has no types
    """The next time is one interval from now, however many have gone by: of a clock that leaps by a year APScheduler counts each."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return now if previous_fire_time is None else now + self.interval


class Schedule:
    """Calls ticks in UTC from a memory store; a late tick runs once, a slow one never overlaps itself."""

    def __init__(self, ticks: list[Tick]) -> None:
        self._epoch = 0
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        for tick in ticks:
            trigger = _Every(seconds=tick.every_s, timezone=UTC)
            self._scheduler.add_job(self._run, trigger, args=[tick], id=tick.name, next_run_time=datetime.now(UTC))

    def start(self) -> None:
        """Counts the time on the running loop, but calls nothing before `resume`."""
        self._scheduler.start(paused=True)

    def resume(self, epoch: int) -> None:
        """Ticks from now on, each at once if it is the first time or its time has gone by."""
        self._epoch = epoch
        self._scheduler.resume()

    def keep_time(self) -> None:
        """Calls at once what is to wait for longer than its interval: the clock was set back, and APScheduler goes by it."""
        now = datetime.now(UTC)
        for job in self._scheduler.get_jobs():
            if job.next_run_time - now > job.trigger.interval:
                job.modify(next_run_time=now)

    def pause(self) -> None:
        """Calls nothing more, as when the lock is lost; a tick that runs goes on."""
        if self._scheduler.running:
            self._scheduler.pause()

    def stop(self) -> None:
        """Ends for good; a tick that runs is cancelled, which its idempotence allows."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def _run(self, tick: Tick) -> None:
        # Nobody but `stop` cancels, and to APScheduler that would be an error to tell of.
        with contextlib.suppress(asyncio.CancelledError):
            await tick.run(self._epoch)
