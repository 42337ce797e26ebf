"""A town in PostgreSQL, lived through by the product's worker day by day: some buy when they are told, some buy anyway."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import numpy as np

from push.campaign import campaigns
from push.campaign.occurrences import due_from
from push.fcm.channel import FcmChannel
from schema.campaign import Campaign, StoredCampaign
from schema.event import EventType
from schema.ids import stable_entropy, uuid7
from schema.offer import Creative, Offer
from service.ingest import writer
from service.ingest.checked import CheckedEvent
from service.settings import load
from service.store import event_ids, offers, people
from service.store.people import USER, PersonKey, Speaker
from service.worker import Worker
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world

BEGIN: Final = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAY: Final = timedelta(days=1)
KNOWN_DAYS: Final = 21
THINGS: Final = ("coffee", "bread", "soup", "juice")
_DEVICES: Final = """
    insert into devices (user_id, device_id, address, address_kind, platform, address_updated_at, last_seen_at)
    select user_id, 'phone', 'ok-' || user_id, 'token', 'android', $1, $2 from users
"""
_SENT: Final = """
    select d.user_id, d.decision_id, d.offer_ids[1] from decisions d join exposures e using (user_id, decision_id)
     where e.exposed_at >= $1 and e.exposed_at < $2 order by d.decision_id
"""


class Kind(NamedTuple):
    """How people of a kind live: chance of buying their thing on a day, of looking at it, and of buying it when told of it."""

    buys: float
    looks: float
    moved: float


PERSUADABLE: Final = 0
SURE_THING: Final = 1
UNMOVED: Final = 2
KINDS: Final = (Kind(0.02, 0.6, 0.7), Kind(0.8, 0.05, 0.0), Kind(0.02, 0.6, 0.0))
"""By place in turn. Those who are unmoved look as often as persuadables do: only what they do tells them apart."""


def kind_of(place: int) -> int:
    """Which of KINDS somebody is."""
    return place % len(KINDS)


def thing_of(place: int) -> str:
    """What somebody likes."""
    return THINGS[place // len(KINDS) % len(THINGS)]


class Town:
    """`people` names, by place; each likes one thing."""

    def __init__(self, pool: asyncpg.Pool, worker: Worker, server: StandInServer, people: int) -> None:
        self.pool, self.worker, self.server = pool, worker, server
        self.names = [f"p{place}" for place in range(people)]
        self.ids: dict[int, int] = {}
        self._draw = np.random.default_rng(11)

    async def open(self, weeks: int, **campaign: Any) -> None:
        """Offers, people, and a weekly campaign for what a push adds, after some weeks in which people only live."""
        deals = [
            Offer(
                offer_id=thing,
                creative=Creative(title=thing.title(), body="Today"),
                tags=[thing],
                discount_type="amount",
                discount_minor=60,
                price_minor=300,
                margin_minor=160,
            )
            for thing in THINGS
        ]
        async with self.pool.acquire() as connection:
            await push_world.rules(connection, push_world.OFF)
            await offers.put_all(connection, deals, BEGIN)
            async with connection.transaction():
                found = await people.ensure(connection, [PersonKey(USER, name) for name in self.names], BEGIN)
            self.ids = {found[PersonKey(USER, name)].user_id: place for place, name in enumerate(self.names)}
            begins = BEGIN + KNOWN_DAYS * DAY
            await connection.execute(_DEVICES, BEGIN, begins + weeks * 7 * DAY)
            first = begins.replace(tzinfo=None)
            body: dict[str, Any] = {
                "campaign_id": "adds",
                "starts_at": first,
                "ends_at": first + weeks * 7 * DAY,
                "recurrence": "weekly",
                "goal": "incremental_value",
                "attention_price": 8.0,
                "ttl_s": 48 * 3600,
            }
            made = Campaign(**(body | campaign))
            stored = StoredCampaign(id=uuid7(BEGIN, stable_entropy(b"adds")), status="active", campaign=made)
            assert await campaigns.create(connection, stored, BEGIN, first, due_from(first))

    async def live(self, days: int) -> None:
        """Day after day: the worker settles what is due at noon, and then people read what came, look and buy."""
        for _ in range(days):
            self.server.now += DAY
            await self.worker.settle(self.server.now)
            await self._day(self.server.now)

    async def _day(self, now: datetime) -> None:
        told = await self._told(now)
        batch = []
        for place, name in enumerate(self.names):
            kind, thing = KINDS[kind_of(place)], thing_of(place)
            buys, looks, moved = self._draw.random(3) < (kind.buys, kind.looks, kind.moved)
            push = told.get(place)
            is_moved = push is not None and push[1] == thing and moved
            if looks:
                batch.append(_event(name, EventType.VIEW, now, 1, [thing]))
            if buys or is_moved:
                batch.append(_event(name, EventType.PURCHASE, now, 2, [thing]))
                if push is not None and push[1] == thing:
                    batch.append(_event(name, EventType.REDEEMED, now, 3, [], *push))
        await writer.write(self.pool, batch)

    async def _told(self, now: datetime) -> dict[int, tuple[Any, str, int]]:
        """By place the decision, thing and offer of the push that came since yesterday; exposures are counted at the next noon."""
        rows = await self.pool.fetch(_SENT, now - 2 * DAY, now)
        return {
            self.ids[user_id]: (decision_id, THINGS[offer_id - 1], offer_id) for user_id, decision_id, offer_id in rows
        }


def _event(
    name: str,
    kind: EventType,
    now: datetime,
    hour: int,
    tags: Sequence[str],
    decision: Any = None,
    _: str = "",
    offer: Any = None,
) -> CheckedEvent:
    at = now + timedelta(hours=hour)
    key = event_ids.key_of(f"{name} {kind} {at}")
    speaker, text = Speaker(PersonKey(USER, name)), json.dumps({"tags": list(tags)}).encode()
    return CheckedEvent(speaker, key, kind, at, at, offer, decision, 0, tuple(tags), True, text)


async def worker_of(dsn: str, pool: asyncpg.Pool, channel: FcmChannel, data_dir: Path) -> Worker:
    """The background worker, its settling called by the test instead of the virtual clock."""
    worker = Worker(load({}, data_dir=data_dir), dsn, channel)
    worker.pool = worker.quick_pool = pool
    worker._compose()
    await worker.policy.refresh()
    await worker.composer.publish(BEGIN)
    await worker.snapshot.refresh()
    return worker
