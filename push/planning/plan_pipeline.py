"""An occurrence goes through in blocks of people: while one is written, the next is drawn and the one after that is read."""

import asyncio
from asyncio import Queue
from concurrent.futures import Executor
from datetime import datetime
from typing import Any, Final, NamedTuple

from push.campaign import campaigns
from push.decider import Moments
from push.planning import audience, plan_rows
from push.planning.audience import People, Place
from push.planning.bucket_plan import plan_bucket
from push.planning.plan_meter import PlanMeter
from push.planning.plan_rows import Rows
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules

BLOCK_PEOPLE: Final = 20_000


class Occurrence(NamedTuple):
    """What is planned, and all that its rows depend on beside the people."""

    campaign: StoredCampaign
    at: datetime
    now: datetime
    rules: ContactRules
    moments: Moments


class _Drawn(NamedTuple):
    people: People
    rows: Rows


class _StoppedError(Exception):
    """The campaign was paused or ended, or another planner has planned what we were about to write."""


class _Run:
    """What was written by one run, and through which person."""

    def __init__(self, after: int, highest: int) -> None:
        self.through = after
        self.rows = 0
        self._highest = highest

    def share(self) -> float:
        """Of the people there are, which share has been gone through."""
        return self.through / self._highest if self._highest > self.through else 1.0


class Pipeline:
    """Reads, draws and writes at once, a block each; holds two connections of the pool at most."""

    def __init__(self, pool: Any, seed: bytes, meter: PlanMeter, executor: Executor | None) -> None:
        self._pool = pool
        self._seed = seed
        self._meter = meter
        self._executor = executor

    async def run(self, occurrence: Occurrence, after: int) -> tuple[int, bool]:
        """Plans everybody after one user id. The number of new rows, and whether that is all; else look again how far planning is."""
        read: Queue[People | None] = Queue(1)
        drawn: Queue[_Drawn | None] = Queue(1)
        run = _Run(after, await audience.highest(self._pool))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(occurrence, after, read))
                group.create_task(self._draw(occurrence, read, drawn))
                group.create_task(self._write(occurrence, drawn, run))
        except BaseExceptionGroup as failed:
            if not isinstance(failed.exceptions[0], _StoppedError):
                raise failed.exceptions[0] from None
            return run.rows, False
        return run.rows, True

    async def _read(self, occurrence: Occurrence, after: int, read: "Queue[People | None]") -> None:
        campaign = occurrence.campaign
        await audience.stream(
            self._pool,
            campaign.campaign.audience,
            occurrence.now,
            Place(after, BLOCK_PEOPLE),
            occurrence.moments.rhythm_bytes,
            read.put,
            reach=audience.reach_of(campaign.campaign),
        )
        await read.put(None)

    async def _draw(self, occurrence: Occurrence, read: "Queue[People | None]", drawn: "Queue[_Drawn | None]") -> None:
        campaign, at, now, rules, moments = occurrence
        loop = asyncio.get_running_loop()
        while (people := await read.get()) is not None:
            given = (campaign, at, people, moments, self._seed, now, rules)
            await drawn.put(_Drawn(people, await loop.run_in_executor(self._executor, plan_bucket, *given)))
        await drawn.put(None)

    async def _write(self, occurrence: Occurrence, drawn: "Queue[_Drawn | None]", run: _Run) -> None:
        while (block := await drawn.get()) is not None:
            if not len(block.people.user_ids):
                continue
            through = int(block.people.user_ids[-1])
            rows = await self._write_block(occurrence, block.rows, run.through, through)
            run.through, run.rows = through, run.rows + rows
            self._meter.planned(occurrence.campaign, rows, run.share())

    async def _write_block(self, occurrence: Occurrence, rows: Rows, after: int, through: int) -> int:
        """The number of new rows, in the transaction that notes how far planning is."""
        campaign = occurrence.campaign
        async with self._pool.acquire() as connection, connection.transaction():
            if not await campaigns.hold_active(connection, campaign.id):
                raise _StoppedError
            if not await campaigns.planned_through(connection, campaign.id, occurrence.at, after, through):
                raise _StoppedError
            return await plan_rows.insert(connection, campaign, occurrence.at, rows)
