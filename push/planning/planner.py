"""Planning an occurrence of a campaign: for each person of the audience one moment is drawn and put into the outbox."""

from collections.abc import Collection
from concurrent.futures import Executor
from datetime import datetime
from typing import Any

from push.campaign import campaigns
from push.campaign.occurrences import due_from, is_over, next_occurrence, plan_at
from push.contact import contacts
from push.decider import MomentSource, Obstacles
from push.planning import audience
from push.planning.plan_meter import PlanMeter, Unmetered
from push.planning.plan_pipeline import Occurrence, Pipeline
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules


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
        obstacles: Obstacles | None = None,
        meter: PlanMeter | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Draws on `executor`, by default the loop's threads: nearly all of it runs without the interpreter's lock."""
        self._pool = pool
        self._moments = moments
        self._obstacles = obstacles
        self._meter = meter or Unmetered()
        self._pipeline = Pipeline(pool, seed, self._meter, executor)

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
                made, is_done = await self._plan(Occurrence(campaign, occurrence, now, rules, self._moments.current()))
                planned += made
                if not is_done:
                    break
            following = next_occurrence(campaign, occurrence)
            # People from further east may join by then: the zones are looked at again.
            at = due_from(following) if following else None
            async with self._pool.acquire() as connection:
                await campaigns.planned(connection, campaign.id, occurrence, following, at)
        return planned

    async def _plan(self, occurrence: Occurrence) -> tuple[int, bool]:
        """The number of new rows; not done when the campaign was paused or ended meanwhile, or has nothing to send."""
        total, campaign_id = 0, occurrence.campaign.id
        while (after := await campaigns.begin_occurrence(self._pool, campaign_id, occurrence.at)) is not None:
            if await self._is_held(occurrence):
                return total, False
            made, is_through = await self._pipeline.run(occurrence, after)
            total += made
            if is_through:
                self._meter.done(occurrence.campaign, total)
                return total, True
            if not await campaigns.is_active(self._pool, campaign_id):
                return total, False
        return total, True

    async def _is_held(self, occurrence: Occurrence) -> bool:
        """Whether planning would be in vain: it is tried again as long as the window is not over, and told when that changes."""
        campaign = occurrence.campaign
        if self._obstacles is None:
            return False
        async with self._pool.acquire() as connection:
            why = await self._obstacles.of(connection, campaign, occurrence.now)
            if await campaigns.note_obstacle(connection, campaign.id, occurrence.at, why) and why is not None:
                self._meter.held(campaign, why)
        return why is not None
