"""A dry run: whom a campaign would reach, when, and why not the others, by the very functions that plan and draw. Nothing is written."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from push.campaign import campaigns
from push.campaign.occurrences import first_occurrence, is_over, next_occurrence, plan_at
from push.contact import contacts
from push.contact.contact_rules import Judge
from push.decider import Moments
from push.planning import funnel
from push.planning.audience import people_of
from push.planning.audience import zones as zones_of_all
from push.planning.bucket_plan import plan_bucket
from push.planning.plan_rows import Planned, planned
from push.sending.claim import LEASE
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules
from schema.forecast import SAMPLE_MAX, Forecast
from service.batching import RETRY_AFTER_S
from service.decision import masks, stock
from service.decision.ask import Ask
from service.decision.stock import Stock
from service.errors import ApiError
from service.planning.forecast_report import Held, Report, Sampled, steps_in_sql
from service.planning.moments import LearnedMoments
from service.planning.push_asks import ask_of, candidates_of, judged, near_home
from service.store import decision_people
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.decision_people import DecisionPerson
from service.store.policies import InForce

SHOWN: Final = 10
"""People of the sample that are shown where nobody is asked for by name."""


class Means(NamedTuple):
    """What planning and drawing go by."""

    catalogue: Catalogue
    moments: Moments
    seed: bytes
    policy: InForce


class Forecaster:
    """Makes forecasts in a process that serves the API."""

    def __init__(
        self, pool: Any, catalogue: CatalogueCache, snapshot: SnapshotCache, policy: PolicyCache, seed: bytes
    ) -> None:
        self._pool = pool
        self._catalogue = catalogue
        self._snapshot = snapshot
        self._policy = policy
        self._seed = seed

    async def of_stored(self, campaign: StoredCampaign, now: datetime, user_ids: Sequence[str] = ()) -> Forecast:
        """The occurrence that is planned next. Raises ApiError 503 while no snapshot has been loaded."""
        async with self._pool.acquire() as connection, _one_state(connection):
            is_draft = campaign.status == "draft"
            occurrence = (
                first_occurrence(campaign, now) if is_draft else await campaigns.next_to_plan(connection, campaign.id)
            )
            return await forecast(connection, campaign, occurrence, now, await self._means(connection), user_ids)

    async def of_new(self, campaign: StoredCampaign, now: datetime) -> Forecast:
        """The first occurrence of a campaign that is not stored. Raises ApiError 503 while no snapshot has been loaded."""
        async with self._pool.acquire() as connection, _one_state(connection):
            first = first_occurrence(campaign, now)
            return await forecast(connection, campaign, first, now, await self._means(connection))

    async def _means(self, connection: Any) -> Means:
        if self._snapshot.current is None:
            detail = "No snapshot has been loaded yet: nothing can be planned; try again."
            raise ApiError(503, "unavailable", detail, retry_after_s=RETRY_AFTER_S)
        catalogue = await self._catalogue.refresh(connection)
        return Means(catalogue, LearnedMoments(self._snapshot).current(), self._seed, self._policy.current)


def _one_state(connection: Any) -> Any:
    """A transaction whose statements all see the same people."""
    return connection.transaction(isolation="repeatable_read", readonly=True)


async def forecast(
    connection: Any,
    campaign: StoredCampaign,
    occurrence: datetime | None,
    now: datetime,
    means: Means,
    user_ids: Sequence[str] = (),
) -> Forecast:
    """What planning this occurrence at `now` would do, and what of that would be held back as things stand.

    Args:
        connection: in a transaction that sees one state of the database.
        campaign: stored or not.
        occurrence: naive local start of the window; one that is over everywhere is passed over, as planning does.
        now: the instant of the forecast.
        means: the same as planning and drawing have.
        user_ids: people to tell of; of no names some of the sample are shown.
    """
    occurrence = _ahead(campaign, occurrence, now)
    counts = await funnel.counts(connection, campaign, now)
    size = counts.get(None, 0)
    people = await funnel.sample(connection, campaign, now, min(1.0, SAMPLE_MAX / size) if size else 0.0)
    sampled = Sampled(people, await funnel.named(connection, campaign, now, user_ids), size)
    rules = (await contacts.read(connection)).rules
    rows = await _plan(campaign, occurrence, sampled, means, now, rules)
    held = await _held(connection, campaign, list(rows.values()), means, rules, now)
    report = Report(campaign, sampled, rows, held)
    names = {one.person.user_id: one.external_id for one in sampled.named}
    if not user_ids:
        names = await funnel.names(connection, [row.user_id for row in report.of_sample[:SHOWN]])
    zones = await zones_of_all(connection) | {campaign.campaign.default_time_zone}
    return Forecast(
        campaign_id=campaign.campaign.campaign_id,
        made_at=now,
        occurrence_at=occurrence,
        plan_at=None if occurrence is None else plan_at(occurrence, zones),
        audience=size,
        sampled=len(people),
        planned=report.scaled(len(report.of_sample)),
        held_out=report.scaled(report.groups["holdout"]),
        control=report.scaled(report.groups["control"]),
        funnel=[*steps_in_sql(counts), *report.steps()],
        hours=report.hours(),
        people=[report.told(user_id, name) for user_id, name in sorted(names.items())],
    )


def _ahead(campaign: StoredCampaign, occurrence: datetime | None, now: datetime) -> datetime | None:
    while occurrence is not None and is_over(campaign, occurrence, now):
        occurrence = next_occurrence(campaign, occurrence)
    return occurrence


async def _plan(
    campaign: StoredCampaign,
    occurrence: datetime | None,
    sampled: Sampled,
    means: Means,
    now: datetime,
    rules: ContactRules,
) -> dict[int, Planned]:
    """The rows that planning would write, by person."""
    known = {person.user_id: person for person in sampled.people}
    known |= {one.person.user_id: one.person for one in sampled.named if one.left_out_by is None}
    if occurrence is None or not known:
        return {}
    people = people_of(list(known.values()), means.moments.rhythm_bytes)
    given = (campaign, occurrence, people, means.moments, means.seed, now, rules)
    return {row.user_id: row for row in planned(await asyncio.to_thread(plan_bucket, *given))}


async def _held(
    connection: Any, campaign: StoredCampaign, rows: Sequence[Planned], means: Means, rules: ContactRules, now: datetime
) -> dict[int, Held]:
    """By person, what the masks of the draw would say at their own moment."""
    catalogue = means.catalogue
    template = ask_of(campaign, candidates_of(campaign, catalogue), means.policy)
    ids = [row.user_id for row in rows]
    people, _ = await decision_people.by_id(connection, ids)
    contacted, _ = await contacts.people(connection, ids)
    asked = [(near_home(template, people[user_id]), people[user_id]) for user_id in ids]
    left = await stock.look(connection, catalogue, asked, now) if stock.is_needed(catalogue, asked) else None

    def reasons() -> dict[int, Held]:
        found = {}
        for row, (ask, person) in zip(rows, asked, strict=True):
            verdict = Judge(rules, row.send_at, reach=LEASE).of(campaign, contacted[row.user_id])
            found[row.user_id] = _why_not(judged(ask, verdict, catalogue), person, catalogue, row.send_at, left)
        return {user_id: why for user_id, why in found.items() if why is not None}

    return await asyncio.to_thread(reasons)


def _why_not(ask: Ask, person: DecisionPerson, catalogue: Catalogue, at: datetime, left: Stock | None) -> Held | None:
    found, reasons = masks.eligible(catalogue, person, ask, at)
    if reasons:
        return Held("offer" if reasons == ("no_eligible_offer",) else "rules_of_contact", reasons[0])
    if left is not None and not (found.mask & left.is_left_for(person.user_id, ask.campaign_id)).any():
        return Held("offer", "sold_out")
    return None
