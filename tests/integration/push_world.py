"""A small world for the tests of push: people with phones, offers, a campaign, and a decider that logs what it draws."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from bandits.rhythm import RECORD
from push import outbox
from push.campaign import campaigns
from push.campaign.occurrences import due_from
from push.clock import standing
from push.decider import NOBODY, Batch, Draft, Drawn, DrawnMany, Due, DueMany
from push.drawing.due import DueDrawer
from push.planning import audience
from push.planning.plan_rows import Planned
from schema.audience import Audience
from schema.campaign import Campaign, StoredCampaign
from schema.contact_rules import ContactRules
from schema.ids import partition_of, stable_entropy, uuid7
from schema.offer import Creative, Offer
from service.store import offers

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday
STARTS_AT = datetime(2026, 3, 2, 0)
HOUR = timedelta(hours=1)
SEED = b"test"
OFF = ContactRules(quiet_hours=[], caps=[], min_gap_s=0)

_PEOPLE = """
    insert into users (user_id, external_id, created_at, time_zone) overriding system value
    select n, 'user ' || n, $2, $3 from generate_series(1, $1) n
"""
_DEVICES = """
    insert into devices (user_id, device_id, address, address_kind, platform, address_updated_at, last_seen_at)
    select n, 'phone', $3 || '-' || n, 'token', 'android', $2, $2 from generate_series(1, $1) n
"""
_DECISION = """
    insert into decisions (user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy,
        snapshot_version, catalogue_version, user_version, request, tastes, eligible, offer_ids, propensities,
        send_probability, phi, predictions, pmf_sha256, reason_codes)
    values ($1, $2, 'push', 1, $3, false, false, false, 'first', 0, 1, 0, '{}', '', '', $4, '{1}', 1, '', '', '', '{}')
"""
_RULES = """
    insert into contact_rules (version, rules, set_at, set_by)
    select coalesce(max(version), 0) + 1, $1::text::jsonb, $2, 'test' from contact_rules
"""
_STATES = "select state, count(*)::int from outbox group by state"


async def rules(connection: Any, given: ContactRules) -> None:
    """Makes these the rules in force."""
    await connection.execute(_RULES, msgspec.json.encode(given).decode(), NOW)


async def people(connection: Any, count: int, prefix: str = "ok", zone: str | None = "UTC") -> None:
    """People 1..count, each with a phone whose address begins with `prefix`; no rules of contact, which have tests of their own."""
    await rules(connection, OFF)
    await connection.execute(_PEOPLE, count, NOW - HOUR, zone)
    await connection.execute(_DEVICES, count, NOW - HOUR, prefix)


async def offer(pool: Any, name: str = "coffee", **changes: Any) -> int:
    """Makes an offer; its own id of ours."""
    given = {"is_redeemable": True, "tags": [name]} | changes
    words = {"creative": Creative(title=name.title(), body="Today")}
    deal = Offer(offer_id=name, **(words | given))
    async with pool.acquire() as connection:
        await offers.put_all(connection, [deal], NOW)
    return int(await pool.fetchval("select offer_id from offers where external_id = $1", name))


def a_campaign(name: str = "lunch", **changes: Any) -> StoredCampaign:
    """A campaign of one week from STARTS_AT."""
    body: dict[str, Any] = {
        "campaign_id": name,
        "starts_at": STARTS_AT,
        "ends_at": STARTS_AT + timedelta(weeks=1),
    } | changes
    return StoredCampaign(id=uuid7(NOW, stable_entropy(name.encode())), status="active", campaign=Campaign(**body))


async def campaign(connection: Any, name: str = "lunch", **changes: Any) -> StoredCampaign:
    """Stores a campaign."""
    made = a_campaign(name, **changes)
    first = made.campaign.starts_at
    assert await campaigns.create(connection, made, NOW, first, due_from(first))
    return made


async def planned(connection: Any, stored: StoredCampaign, user_ids: Sequence[int], send_at: datetime = NOW) -> None:
    """Puts planned rows into the outbox, as the planner would; takes a pool too."""
    if isinstance(connection, asyncpg.Pool):
        async with connection.acquire() as acquired:
            await planned(acquired, stored, user_ids, send_at)
            return
    until = send_at + timedelta(hours=6)
    rows = [
        Planned(
            n,
            uuid7(send_at, stable_entropy(stored.id.bytes, n.to_bytes(8))),
            partition_of(n),
            send_at,
            until,
            until,
            1.0,
        )
        for n in user_ids
    ]
    assert await outbox.plan(connection, stored, STARTS_AT, rows) == len(rows)


async def audience_ids(pool: Any, wanted: Audience, people_max: int = 10) -> list[int]:
    """Whom a campaign of this audience would be planned for at NOW."""
    found: list[int] = []

    async def take(people: audience.People) -> None:
        found.extend(people.user_ids.tolist())

    await audience.stream(pool, wanted, NOW, audience.Place(0, people_max), RECORD.itemsize, take)
    return found


async def states(connection: Any) -> dict[outbox.State, int]:
    """How many rows of the outbox stand where."""
    return {outbox.State(row[0]): row[1] for row in await connection.fetch(_STATES)}


class FirstOffer:
    """A decider that draws the same offer for everybody but the silent ones, and logs that."""

    def __init__(self, offer_id: int, silent: Sequence[int] = (), title: str = "Coffee") -> None:
        self.offer_id = offer_id
        self.silent = silent
        self.title = title

    async def decide_many(self, _connection: Any, _asked: DueMany, _now: datetime) -> DrawnMany:
        return NOBODY

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        return [await self._one(connection, one, now) for _, due in batch for one in due]

    async def _one(self, connection: asyncpg.Connection, due: Due, now: datetime) -> Drawn:
        decision_id = uuid7(now, due.entropy)
        is_sent = due.user_id not in self.silent
        await connection.execute(_DECISION, due.user_id, decision_id, int(is_sent), [self.offer_id])
        data = {"decision_id": str(decision_id)}
        draft = Draft(self.offer_id, self.title, "Today", None, data) if is_sent else None
        return Drawn(decision_id, draft, "" if is_sent else "gate")


async def ready(pool: Any, stored: StoredCampaign, user_ids: Sequence[int], decider: Any, now: datetime = NOW) -> None:
    """Planned and drawn rows."""
    async with pool.acquire() as connection:
        await planned(connection, stored, user_ids)
    assert await DueDrawer(pool, decider, SEED).draw_due(standing(now)) == len(user_ids)


_OPEN = """
    select (select count(*) from outbox o join campaigns c using (campaign_id)
             where o.state = 0 and o.send_at <= $1 and c.status <> 'paused')
         + (select count(*) from outbox o join campaigns c using (campaign_id)
             where o.state = 1 and o.send_at <= $1 and c.status <> 'paused')
         + (select count(*) from outbox where state = 2)
"""


async def open_count(connection: Any, now: datetime) -> int:
    """Rows due by now that have no final state yet, and are not held back by a pause of their campaign."""
    return int(await connection.fetchval(_OPEN, now))
