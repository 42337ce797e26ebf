"""Planning an occurrence of a campaign: for each person of the audience one moment is drawn and put into the outbox."""

import asyncio
from collections.abc import Awaitable, Collection
from concurrent.futures import Executor
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from push import audience, campaigns, contacts, plan_rows
from push.audience import People
from push.bucket_plan import plan_bucket
from push.decider import Moments, MomentSource
from push.occurrences import due_from, is_over, next_occurrence, plan_at
from push.plan_rows import Rows
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules

BLOCK_PEOPLE: Final = 20_000


class PlanMeter(Protocol):
    """Whom planning tells how far it is."""

    def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
        """So many rows more; of the people there are this share has been gone through."""
        ...


class Unmetered:
    """Tells nobody."""

    def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
        """Nothing."""


class _Occurrence(NamedTuple):
    """What is planned, and all that its rows depend on beside the people."""

    campaign: StoredCampaign
    at: datetime
    now: datetime
    rules: ContactRules
    moments: Moments


class _Block(NamedTuple):
    """People after one user id, through another; `is_last` when there are no more."""

    after: int
    through: int
    people: People
    is_last: bool


class _Drawn(NamedTuple):
    block: _Block
    rows: Rows


class Planner:
    """Plans whatever is due; may be stopped anywhere and run again, by anybody, also by several at once.

    Who becomes reachable after the planning of an occurrence is reached by the next one.
    """

    def __init__(
        self,
        pool: Any,
        moments: MomentSource,
        seed: bytes,
        *,
        meter: PlanMeter | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Draws on `executor`, by default the loop's threads: nearly all of it runs without the interpreter's lock."""
        self._pool = pool
        self._moments = moments
        self._seed = seed
        self._meter = meter or Unmetered()
        self._executor = executor

    async def plan_due(self, now: datetime) -> int:
        """Plans all occurrences that are due; the number of rows that are new in the outbox."""
        async with self._pool.acquire() as connection:
            due = await campaigns.due(connection, now)
            zones = await audience.zones(connection) if due else frozenset()
            rules = (await contacts.read(connection)).rules
        planned = 0
        for campaign, occurrence in due:
            opens_in = zones | {campaign.campaign.default_time_zone}
            if (at := plan_at(occurrence, opens_in)) > now:
                await campaigns.plan_later(self._pool, campaign.id, occurrence, at)
            else:
                planned += await self._catch_up(campaign, occurrence, opens_in, now, rules)
        return planned

    async def _catch_up(
        self, campaign: StoredCampaign, occurrence: datetime, zones: Collection[str], now: datetime, rules: ContactRules
    ) -> int:
        """Plans occurrences until the next one is not due; those that went by unplanned, as in a pause, are passed over."""
        planned = 0
        following: datetime | None = occurrence
        while following is not None and plan_at(following, zones) <= now:
            occurrence = following
            if not is_over(campaign, occurrence, now):
                made, is_done = await self._plan(_Occurrence(campaign, occurrence, now, rules, self._moments.current()))
                planned += made
                if not is_done:
                    break
            following = next_occurrence(campaign, occurrence)
            # People from further east may join by then: the zones are looked at again.
            at = due_from(following) if following else None
            async with self._pool.acquire() as connection:
                await campaigns.planned(connection, campaign.id, occurrence, following, at)
        return planned

    async def _plan(self, occurrence: _Occurrence) -> tuple[int, bool]:
        """The number of new rows; not done when the campaign was paused or ended meanwhile."""
        total = 0
        while (
            after := await campaigns.begin_occurrence(self._pool, occurrence.campaign.id, occurrence.at)
        ) is not None:
            made, is_through = await self._stream(occurrence, after)
            total += made
            if is_through:
                return total, True
            if not await campaigns.is_active(self._pool, occurrence.campaign.id):
                return total, False
        return total, True

    async def _stream(self, occurrence: _Occurrence, after: int) -> tuple[int, bool]:
        """Block by block from `after` on: one is written while the next is drawn and the one after that is read.

        The number of new rows; not through when the campaign was stopped, or another planner has planned what we were about to write.
        """
        total, people_max = 0, await audience.highest(self._pool)
        block: _Block | None = await self._read(occurrence, after)
        drawn: _Drawn | None = None
        while block is not None or drawn is not None:
            written, drawn, block = await _together(
                self._write(occurrence, drawn, people_max),
                self._draw(occurrence, block),
                self._read_on(occurrence, block),
            )
            if written is None:
                return total, False
            total += written
        return total, True

    async def _read_on(self, occurrence: _Occurrence, block: _Block | None) -> _Block | None:
        return await self._read(occurrence, block.through) if block is not None and not block.is_last else None

    async def _read(self, occurrence: _Occurrence, after: int) -> _Block:
        campaign, width = occurrence.campaign, occurrence.moments.rhythm_bytes
        async with self._pool.acquire() as connection:
            people = await audience.block(
                connection,
                campaign.campaign.audience,
                occurrence.now,
                after,
                BLOCK_PEOPLE,
                width,
                is_push_alone=campaign.is_push_only(),
            )
        count = len(people.user_ids)
        return _Block(after, int(people.user_ids[-1]) if count else after, people, count < BLOCK_PEOPLE)

    async def _draw(self, occurrence: _Occurrence, block: _Block | None) -> _Drawn | None:
        if block is None:
            return None
        rows = await asyncio.get_running_loop().run_in_executor(
            self._executor,
            plan_bucket,
            occurrence.campaign,
            occurrence.at,
            block.people,
            occurrence.moments,
            self._seed,
            occurrence.now,
            occurrence.rules,
        )
        return _Drawn(block, rows)

    async def _write(self, occurrence: _Occurrence, drawn: _Drawn | None, people_max: int) -> int | None:
        """The number of new rows; None when the campaign was stopped, or the block is another planner's."""
        if drawn is None:
            return 0
        campaign, block = occurrence.campaign, drawn.block
        async with self._pool.acquire() as connection, connection.transaction():
            if not await campaigns.hold_active(connection, campaign.id):
                return None
            place = (campaign.id, occurrence.at, block.after, block.through)
            if not await campaigns.planned_through(connection, *place):
                return None
            made = await plan_rows.insert(connection, campaign, occurrence.at, drawn.rows)
        self._meter.planned(campaign, made, 1.0 if block.is_last else block.through / max(people_max, block.through))
        return made


async def _together(*works: Awaitable[Any]) -> list[Any]:
    """What each gives, when all have ended; raises what the first of them raised, if one did."""
    found = await asyncio.gather(*works, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found
