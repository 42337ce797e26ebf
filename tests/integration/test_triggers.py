"""Events that set off pushes: planned with the event, once for each, and sent like every other push."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from push import outbox_days, triggered
from push.campaign import campaigns
from push.channel import Accepted, Message, Outcome
from push.clock import standing
from push.drawing.due import DueDrawer
from push.outbox import State
from push.sending.dispatcher import Dispatcher
from schema.campaign import StoredCampaign
from schema.contact_rules import Cap, ContactRules
from schema.event import CODES
from schema.trigger import Condition, Trigger
from service.ingest import writer
from service.ingest.checked import CheckedEvent
from service.ingest.triggers import Triggers
from service.learning.learner import Learner
from service.planning.exposure_journal import EventLogJournal
from service.store import merge, merged_state
from service.store.catalogue import CatalogueCache
from service.store.event_ids import key_of
from service.store.people import USER, PersonKey, Speaker
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.push_world import NOW, SEED, FirstOffer, a_campaign, states

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 6) as pool:
        await push_world.people(pool, 9)
        await pool.execute("insert into identities select 0, external_id, user_id, $1 from users", NOW)
        await pool.execute("select setval(pg_get_serial_sequence('users', 'user_id'), 100)")
        yield pool


async def a_triggered(pool: Any, name: str = "left", **changes: Any) -> StoredCampaign:
    given = {"trigger": Trigger(event_type="left_store"), "holdout_share": 0.0, "control_share": 0.0} | changes
    made = a_campaign(name, **given)
    assert await campaigns.create(pool, made, NOW, None, None)
    return made


async def turn(pool: Any, stored: StoredCampaign, status: str) -> None:
    await pool.execute("update campaigns set status = $2 where campaign_id = $1", stored.id, status)


async def listening(pool: Any) -> Triggers:
    triggers = Triggers("test")
    await triggers.refresh(pool)
    return triggers


def told(name: str, user: int = 1, at: datetime = NOW, kind: str = "left_store", **changes: Any) -> CheckedEvent:
    plain = CheckedEvent(
        speaker=Speaker(PersonKey(USER, f"user {user}")),
        event_key=key_of(name),
        type=CODES[kind],
        occurred_at=at,
        received_at=at,
        offer_id=None,
        decision_id=None,
        slot=0,
        tags=(),
        makes_tags=True,
        properties=b"{}",
    )
    return msgspec.structs.replace(plain, **changes)


async def rows(pool: Any) -> list[Any]:
    found: list[Any] = await pool.fetch("select * from outbox order by occurrence_at, user_id")
    return found


async def test_an_event_plans_a_push_for_its_person(pool: asyncpg.Pool) -> None:
    stored = await a_triggered(pool, ttl_s=600)
    triggers = await listening(pool)
    batch = [told("a"), told("b", 2, kind="app_open"), told("c", 3, NOW - MINUTE)]
    assert await writer.write(pool, batch, triggers.react) == [True, True, True]
    found = await rows(pool)
    assert [(row["user_id"], row["occurrence_at"], row["state"]) for row in found] == [
        (3, NOW - MINUTE, State.PLANNED),
        (1, NOW, State.PLANNED),
    ]
    assert {row["campaign_id"] for row in found} == {stored.id}
    assert (found[1]["send_at"], found[1]["send_until"], found[1]["moment_propensity"]) == (NOW, NOW + 10 * MINUTE, 1.0)


async def test_an_event_told_again_plans_nothing_more(pool: asyncpg.Pool) -> None:
    await a_triggered(pool, trigger=Trigger(event_type="left_store", cooldown_s=60))
    here, there = await listening(pool), await listening(pool)
    for again in range(3):
        at = NOW + again * 5 * MINUTE  # the rest is over: only the event's key is in the way
        again_told = told("a", received_at=at, at=NOW)
        both = await asyncio.gather(
            writer.write(pool, [again_told, again_told], here.react), writer.write(pool, [again_told], there.react)
        )
        assert [new for outcomes in both for new in outcomes].count(True) == (again == 0)
    assert len(await rows(pool)) == 1


async def test_of_many_events_at_once_one_plans(pool: asyncpg.Pool) -> None:
    await a_triggered(pool)
    workers = [await listening(pool) for _ in range(4)]
    one_second = timedelta(seconds=1)
    batches = [
        [told(f"{place}-{user}", user, NOW + place * one_second) for user in (4, 2, 3, 1, 1)] for place in range(12)
    ]
    await asyncio.gather(*[writer.write(pool, batch, workers[place % 4].react) for place, batch in enumerate(batches)])
    assert sorted(row["user_id"] for row in await rows(pool)) == [1, 2, 3, 4]


async def test_rest_is_over_after_the_cooldown_and_counts_for_one_campaign_alone(pool: asyncpg.Pool) -> None:
    stored = await a_triggered(pool, trigger=Trigger(event_type="left_store", cooldown_s=3600))
    triggers = await listening(pool)
    for minutes in (0, 59, 60, 61):
        await writer.write(pool, [told(f"{minutes}", at=NOW + minutes * MINUTE)], triggers.react)
    assert [row["occurrence_at"] for row in await rows(pool)] == [NOW, NOW + 60 * MINUTE]
    other = await a_triggered(pool, "other")
    await triggers.refresh(pool)
    await writer.write(pool, [told("last", at=NOW + 62 * MINUTE)], triggers.react)
    assert [row["campaign_id"] for row in await rows(pool)] == [stored.id, stored.id, other.id]
    async with pool.acquire() as connection:
        await triggered.purge(connection, NOW + 121 * MINUTE)
    assert await pool.fetchval("select array_agg(campaign_id) from triggerings") == [other.id]


async def test_what_is_undone_is_planned_by_the_next_attempt_once(pool: asyncpg.Pool) -> None:
    await a_triggered(pool)
    triggers = await listening(pool)

    async def react_and_die(connection: Any, events: Sequence[Any]) -> None:
        await triggers.react(connection, events)
        assert await connection.fetchval("select count(*) from outbox") == 1
        await connection.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await writer.write(pool, [told("a")], react_and_die)
    assert await rows(pool) == []
    for _ in range(2):
        await writer.write(pool, [told("a")], triggers.react)
    assert len(await rows(pool)) == 1


async def test_two_learners_and_a_restart_plan_nothing(pool: asyncpg.Pool) -> None:
    await a_triggered(pool)
    await writer.write(pool, [told("a")], (await listening(pool)).react)
    for _ in range(2):
        await asyncio.gather(*[Learner(pool, CatalogueCache()).catch_up(NOW + MINUTE) for _ in range(2)])
    assert len(await rows(pool)) == 1


async def test_who_may_not_be_reached_is_not_planned(pool: asyncpg.Pool) -> None:
    await a_triggered(pool)
    await pool.execute("update users set has_push_consent = false where user_id = 1")
    await pool.execute("update users set opted_out_at = $1 where user_id = 2", NOW)
    await pool.execute("update devices set is_push_enabled = false where user_id = 3")
    triggers = await listening(pool)
    await writer.write(pool, [told(f"{user}", user) for user in (1, 2, 3, 4)], triggers.react)
    await writer.write(pool, [told("5", speaker=Speaker(PersonKey(USER, "a stranger")))], triggers.react)
    assert [row["user_id"] for row in await rows(pool)] == [4]
    assert await pool.fetchval("select count(*) from triggerings") == 1  # nobody else has to rest


async def test_conditions_and_audience_hold(pool: asyncpg.Pool) -> None:
    coffee = await push_world.offer(pool, "coffee")
    condition = Condition(property="store_id", is_one_of=["12"])
    seen = Trigger(event_type="view", offers=["coffee"], conditions=[condition])
    await a_triggered(pool, trigger=seen, audience={"active_within_days": 1})
    await pool.execute("update devices set last_seen_at = $1 where user_id = 2", NOW - 3 * DAY)
    triggers = await listening(pool)
    good = {"kind": "view", "offer_id": coffee, "properties": b'{"store_id": "12"}'}
    batch = [told("a", 1, **good), told("b", 2, **good), told("c", 3, **good | {"offer_id": coffee + 1})]
    batch += [told("d", 4, **good | {"properties": b'{"store_id": "13"}'})]
    await writer.write(pool, batch, triggers.react)
    assert [row["user_id"] for row in await rows(pool)] == [1]


@asynccontextmanager
async def statements(dsn: str) -> AsyncIterator[tuple[Any, list[str]]]:
    """A pool of one connection, and what is asked on it."""
    async with await open_pool(dsn, 1) as pool, pool.acquire() as connection:
        asked: list[str] = []
        connection.add_query_logger(lambda query: asked.append(query.query))

        class One:
            @asynccontextmanager
            async def acquire(self) -> AsyncIterator[Any]:
                yield connection

        yield One(), asked


async def test_events_that_set_off_nothing_ask_nothing(pool: asyncpg.Pool, database: str) -> None:
    triggers = await listening(pool)
    async with pool.acquire() as connection:
        await outbox_days.ensure(connection, [NOW])  # as the tick does
    async with statements(database) as (one, asked):
        await writer.write(one, [told("first", kind="purchase")])  # types are learned once
        await asyncio.sleep(0)
        counts = []
        for name in ("before", "none", "other kind"):
            if name == "other kind":
                await a_triggered(pool)
                await triggers.refresh(pool)
            asked.clear()
            react = () if name == "before" else (triggers.react,)
            await writer.write(one, [told(name, kind="purchase"), told(f"{name} 2", 2, kind="view")], *react)
            await asyncio.sleep(0)  # the last is logged a moment later
            counts.append(len(asked))
        assert counts[0] == counts[1] == counts[2] > 4
        await writer.write(one, [told("hit of another", 2)], triggers.react)  # types are learned once
        await asyncio.sleep(0)
        asked.clear()
        await writer.write(one, [told("hit")], triggers.react)
        await asyncio.sleep(0)
        assert len(asked) == counts[0] + 3  # who may be reached, whether the day is there, and the row


class Takes:
    """A channel that takes everything."""

    name = account = "takes"

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        self.sent += messages
        return [Accepted("m")] * len(messages)


async def test_it_is_drawn_and_sent_like_every_push(pool: asyncpg.Pool) -> None:
    await push_world.rules(pool, ContactRules(quiet_hours=[], caps=[Cap(pushes_max=1, within_s=86_400)], min_gap_s=0))
    decider = FirstOffer(await push_world.offer(pool), silent=[3])
    left, opened = await a_triggered(pool), await a_triggered(pool, "o", trigger=Trigger(event_type="app_open"))
    triggers = await listening(pool)
    batch = [told(f"{user}", user) for user in (1, 2, 3)] + [told("again", 1, kind="app_open")]
    await writer.write(pool, batch, triggers.react)
    channel = Takes()
    drawer, dispatcher = DueDrawer(pool, decider, SEED), Dispatcher(pool, channel, EventLogJournal())  # type: ignore[arg-type] # it is not opened
    await turn(pool, left, "paused")
    assert await drawer.draw_due(standing(NOW)) == 1
    assert await dispatcher.dispatch(standing(NOW)) == 1
    await turn(pool, left, "active")
    assert await drawer.draw_due(standing(NOW)) == 3
    await dispatcher.dispatch(standing(NOW))
    found = {(row["user_id"], row["campaign_id"]): (State(row["state"]), row["outcome"]) for row in await rows(pool)}
    assert found == {
        (1, opened.id): (State.ACCEPTED, "m"),
        (1, left.id): (State.WITHDRAWN, "cap_reached"),
        (2, left.id): (State.ACCEPTED, "m"),
        (3, left.id): (State.NO_SEND, "gate"),
    }
    assert len(channel.sent) == 2


async def test_a_campaign_that_ended_meanwhile_sends_nothing(pool: asyncpg.Pool) -> None:
    stored = await a_triggered(pool)
    triggers = await listening(pool)
    await turn(pool, stored, "ended")
    await writer.write(pool, [told("a")], triggers.react)  # by a worker that has not heard of it yet
    drawer = DueDrawer(pool, FirstOffer(await push_world.offer(pool)), SEED)
    await drawer.draw_due(standing(NOW))
    assert await states(pool) == {State.WITHDRAWN: 1}
    await triggers.refresh(pool)
    await writer.write(pool, [told("b", 2)], triggers.react)
    assert len(await rows(pool)) == 1


async def test_two_who_turn_out_to_be_one_rest_together(pool: asyncpg.Pool) -> None:
    await a_triggered(pool)
    triggers = await listening(pool)
    await writer.write(pool, [told("a", 1), told("b", 2, NOW + MINUTE), told("c", 3)], triggers.react)
    async with pool.acquire() as connection, connection.transaction():
        await merge.merge(connection, 1, 2, NOW, merged_state.merged)
        await merge.merge(connection, 4, 3, NOW, merged_state.merged)
    found = await pool.fetch("select user_id, triggered_at from triggerings order by 1")
    assert [tuple(row) for row in found] == [(1, NOW + MINUTE), (4, NOW)]


async def test_what_is_planned_wakes_the_draw(pool: asyncpg.Pool, database: str) -> None:
    await a_triggered(pool)
    triggers = await listening(pool)
    heard = asyncio.Event()
    connection = await asyncpg.connect(database)
    await connection.add_listener(triggered.CHANNEL, lambda *_: heard.set())
    await writer.write(pool, [told("a", kind="app_open")], triggers.react)
    await writer.write(pool, [told("b")], triggers.react)
    await asyncio.wait_for(heard.wait(), 2)
    await connection.close()
