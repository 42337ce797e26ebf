"""Planning an occurrence of a campaign: for each person of the audience one moment is drawn and put into the outbox."""

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from push import audience, campaigns, contact_rules, contacts, outbox, quiet_hours
from push.audience import Reachable
from push.claim import LEASE
from push.decider import Moments
from push.local_week import HOURS, instants, to_utc
from push.occurrences import due_from, is_over, next_occurrence, plan_at
from push.quiet_hours import Window
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules
from schema.ids import partition_of, stable_entropy, uuid7

BLOCK_PEOPLE: Final = 5_000
LATE_MAX: Final = timedelta(hours=1)
"""How late a push may leave although its hour is over."""

_HOUR: Final = timedelta(hours=1)


class Planned(NamedTuple):
    """A row for the outbox."""

    user_id: int
    outbox_id: UUID
    bucket: int
    send_at: datetime
    send_until: datetime
    expires_at: datetime
    moment_propensity: float


class _Week(NamedTuple):
    """The window in one time zone, by local hour of the week: when each hour begins, and whether a push may leave in it."""

    begins: tuple[datetime, ...]
    is_allowed: tuple[bool, ...]
    until: datetime


class _Quiet(NamedTuple):
    """The rules of contact, and a person's own quiet hours."""

    rules: ContactRules
    own: tuple[Window, ...]


def plan_bucket(
    campaign: StoredCampaign,
    occurrence: datetime,
    people: Sequence[Reachable],
    moments: Moments,
    seed: bytes,
    now: datetime,
    rules: ContactRules,
) -> list[Planned]:
    """Draws everyone's moment; a function of its arguments alone.

    Args:
        campaign: whose hours, spread and life of a message are used.
        occurrence: naive local start of the window.
        people: of the audience, with their rhythms.
        moments: draws the hours.
        seed: with campaign, occurrence and person it makes every random bit.
        now: moments before it are not allowed; who has none left gets no row.
        rules: of contact; no moment lies in quiet hours.
    """
    clocks = {(person.time_zone, person.quiet) for person in people}
    weeks = {(zone, own): _week(campaign, occurrence, zone, now, _Quiet(rules, own)) for zone, own in clocks}
    given = [(person, weeks[person.time_zone, person.quiet]) for person in people]
    reachable = [(person, week) for person, week in given if any(week.is_allowed)]
    if not reachable:
        return []
    entropies = [entropy_of(seed, campaign, occurrence, person.user_id) for person, _ in reachable]
    drawn = moments.draw(
        [person.rhythm for person, _ in reachable],
        [week.is_allowed for _, week in reachable],
        [_uniform(entropy) for entropy in entropies],
    )
    return [
        _planned(campaign, person.user_id, week, hour, propensity, entropy)
        for (person, week), entropy, (hour, propensity) in zip(reachable, entropies, drawn, strict=True)
    ]


def entropy_of(seed: bytes, campaign: StoredCampaign, occurrence: datetime, user_id: int) -> bytes:
    """Sixteen random bytes of one push: the same whenever it is planned again."""
    name = campaign.campaign.campaign_id.encode()
    return stable_entropy(seed, name, occurrence.isoformat().encode(), user_id.to_bytes(8, "little"))


def _week(campaign: StoredCampaign, occurrence: datetime, zone: str | None, now: datetime, quiet: _Quiet) -> _Week:
    body = campaign.campaign
    clock, windows = contact_rules.windows_of(quiet.rules, body, zone, quiet.own)
    begins, until = instants(occurrence, clock), to_utc(body.ends_at, clock)
    chosen = frozenset(body.hours) or frozenset(range(HOURS))
    reach = timedelta(seconds=body.spread_s) + LEASE
    may_be_quiet = windows and not body.is_urgent
    nights = quiet_hours.spans(min(begins), max(begins) + reach, clock, windows) if may_be_quiet else []
    allowed = tuple(
        hour in chosen and now <= begin < until and quiet_hours.meeting(nights, begin, begin + reach) is None
        for hour, begin in enumerate(begins)
    )
    return _Week(begins, allowed, until)


def _planned(
    campaign: StoredCampaign, user_id: int, week: _Week, hour: int, propensity: float, entropy: bytes
) -> Planned:
    body = campaign.campaign
    begin = week.begins[hour]
    room_s = max((week.until - begin) // timedelta(seconds=1) - 1, 0)
    send_at = begin + timedelta(seconds=_spread(entropy, min(body.spread_s, room_s)))
    expires_at = send_at + timedelta(seconds=body.ttl_s)
    quiet_from = _quiet_from(frozenset(body.hours), hour, begin, expires_at)
    send_until = min(max(quiet_from, send_at + LATE_MAX), expires_at)
    return Planned(user_id, uuid7(send_at, entropy), partition_of(user_id), send_at, send_until, expires_at, propensity)


def _quiet_from(chosen: frozenset[int], hour: int, begin: datetime, latest: datetime) -> datetime:
    """When the hours that may be used end, after one that begins at `begin`; `latest` if they go on until then."""
    if not chosen:
        return latest
    ahead = 1
    while ahead < HOURS and (hour + ahead) % HOURS in chosen and begin + ahead * _HOUR < latest:
        ahead += 1
    return begin + ahead * _HOUR


def _uniform(entropy: bytes) -> float:
    """A number in (0, 1): 52 bits and a half, so that neither end can be reached by rounding."""
    bits = int.from_bytes(hashlib.blake2b(entropy, digest_size=8).digest()) >> 12
    return (bits + 0.5) / (1 << 52)


def _spread(entropy: bytes, spread_s: int) -> int:
    return int.from_bytes(entropy[10:]) % (spread_s + 1)


class Planner:
    """Plans whatever is due; may be stopped anywhere and run again, by anybody, also by several at once.

    Who becomes reachable after the planning of an occurrence is reached by the next one.
    """

    def __init__(self, pool: Any, moments: Moments, seed: bytes) -> None:
        self._pool = pool
        self._moments = moments
        self._seed = seed

    async def plan_due(self, now: datetime) -> int:
        """Plans all occurrences that are due; the number of rows that are new in the outbox."""
        planned = 0
        async with self._pool.acquire() as connection:
            due = await campaigns.due(connection, now)
            zones = await audience.zones(connection) if due else frozenset()
            rules = (await contacts.read(connection)).rules
            for campaign, occurrence in due:
                opens_in = zones | {campaign.campaign.default_time_zone}
                if (at := plan_at(occurrence, opens_in)) > now:
                    await campaigns.plan_later(connection, campaign.id, occurrence, at)
                else:
                    planned += await self._catch_up(connection, campaign, occurrence, opens_in, now, rules)
        return planned

    async def _catch_up(
        self,
        connection: Any,
        campaign: StoredCampaign,
        occurrence: datetime,
        zones: Collection[str],
        now: datetime,
        rules: ContactRules,
    ) -> int:
        """Plans occurrences until the next one is not due; those that went by unplanned, as in a pause, are passed over."""
        planned = 0
        following: datetime | None = occurrence
        while following is not None and plan_at(following, zones) <= now:
            occurrence = following
            if not is_over(campaign, occurrence, now):
                made, is_done = await self._plan(connection, campaign, occurrence, now, rules)
                planned += made
                if not is_done:
                    break
            following = next_occurrence(campaign, occurrence)
            # People from further east may join by then: the zones are looked at again.
            at = due_from(following) if following else None
            await campaigns.planned(connection, campaign.id, occurrence, following, at)
        return planned

    async def _plan(
        self, connection: Any, campaign: StoredCampaign, occurrence: datetime, now: datetime, rules: ContactRules
    ) -> tuple[int, bool]:
        """The number of new rows; not done when the campaign was paused or ended meanwhile."""
        planned = 0
        after = await campaigns.begin_occurrence(connection, campaign.id, occurrence)
        while after is not None:
            people = await audience.block(
                connection,
                campaign.campaign.audience,
                now,
                after,
                BLOCK_PEOPLE,
                is_push_alone=campaign.is_push_only(),
            )
            given = (campaign, occurrence, people, self._moments, self._seed, now, rules)
            rows = await asyncio.to_thread(plan_bucket, *given)
            through = people[-1].user_id if people else after
            async with connection.transaction():
                if not await campaigns.hold_active(connection, campaign.id):
                    return planned, False
                planned += await outbox.plan(connection, campaign, occurrence, rows)
                await campaigns.planned_through(connection, campaign.id, occurrence, through)
            after = through if len(people) == BLOCK_PEOPLE else None
        return planned, True
