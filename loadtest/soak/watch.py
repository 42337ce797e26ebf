"""Looks at an installation every few seconds while traffic runs, and tells the traffic when the learner falls behind."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from loadtest.faults.installation import Installation
from loadtest.soak import sampling
from loadtest.soak.explained import Log
from loadtest.soak.pacing import Pacing
from loadtest.soak.plan import Plan
from loadtest.soak.plan_watch import PlanWatch
from loadtest.soak.sampling import Sample
from loadtest.soak.told import Told

SAMPLES_PER_RUN: Final = 360
EVERY_S_MIN: Final = 1.0
TELL_EVERY_S: Final = 60.0


class Watch:
    """Keeps the samples and the plans of a run."""

    def __init__(
        self,
        plan: Plan,
        installation: Installation,
        connection: Any,
        told: Told,
        pacing: Pacing,
        say: Callable[[str], None],
    ) -> None:
        self.samples: list[Sample] = []
        self.plans = PlanWatch()
        self._plan = plan
        self._installation = installation
        self._connection = connection
        self._told = told
        self._pacing = pacing
        self._say = say
        self._log = Log(installation.data_dir / "postgres" / "server.log")
        self._began = time.monotonic()
        self._told_at = self._began

    async def work(self) -> None:
        """Until the run is over."""
        every_s = max(self._plan.minutes * 60 / SAMPLES_PER_RUN, EVERY_S_MIN)
        while not self._pacing.is_over:
            await self.look()
            await asyncio.sleep(every_s)

    async def look(self) -> Sample:
        """One sample, and the plans that were logged since the last."""
        clock = self._pacing.clock
        sample = await sampling.look(
            self._connection,
            self._installation,
            began=self._began,
            days=clock.days_since(clock.shown),
            events=self._told.acknowledged,
            product_now=clock.now(),
            pace=clock.pace,
        )
        self.samples.append(sample)
        self._pacing.hear_lag(sample.lag_s)
        tables = await sampling.tables(self._connection)
        share = max(sample.events / self._plan.events, sample.at_s / (self._plan.minutes_max * 60))
        self.plans.hear(self._log.read(), tables.rows, min(share, 1.0))
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._say(_in_words(sample))
        return sample


def _in_words(sample: Sample) -> str:
    memory = {role: sum(one.bytes for one in found) >> 20 for role, found in sample.processes.items()}
    sessions = sum(one.bytes for one in sample.sessions) >> 20
    return (
        f"day {sample.days:.2f}, {sample.events:,} events, learner {sample.lag_s:.1f} s behind, MiB {memory}, "
        f"{len(sample.sessions)} of PostgreSQL {sessions}, database {int(sample.counts['bytes']) >> 20}"
    )
