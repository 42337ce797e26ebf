"""Push by the real decisions: snapshot, catalogue and masks, from the planner to the phone, and what one hour of it asks of PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from push.channel import Accepted, Message, Outcome
from push.clock import standing
from push.drawing import feedback_token
from push.drawing.draft import PRIVATE_WORDS
from push.drawing.due import DueDrawer
from push.fcm.channel import FcmChannel
from push.outbox import State
from push.planning.planner import Planner
from push.sending.dispatcher import Dispatcher
from service import worker as working
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.learning.learner import Learner
from service.planning.exposure_journal import EventLogJournal
from service.planning.moments import LearnedMoments
from service.planning.push_decider import PipelineDecider
from service.settings import load
from service.store import signing_keys
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool
from service.worker import Worker
from tests.contract.stand_in_server import StandInServer
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, SEED, STARTS_AT, states

BEFORE = STARTS_AT.replace(tzinfo=UTC) - HOUR


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


@pytest.fixture
async def snapshot(pool: asyncpg.Pool) -> SnapshotCache:
    assert await Composer(pool).publish(BEFORE)
    cache = SnapshotCache(pool)
    await cache.refresh()
    return cache


class Machine:
    """Everything from planning to sending, as the worker composes it."""

    def __init__(self, pool: asyncpg.Pool, snapshot: SnapshotCache, channel: Any) -> None:
        self.planner = Planner(pool, LearnedMoments(snapshot), SEED)
        self.drawer = DueDrawer(pool, PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN)), SEED)
        self.dispatcher = Dispatcher(pool, channel, EventLogJournal())


async def test_a_week_of_pushes(pool: asyncpg.Pool, snapshot: SnapshotCache) -> None:
    await push_world.people(pool, 200)
    coffee, bread = await push_world.offer(pool, "coffee"), await push_world.offer(pool, "bread")
    await push_world.offer(pool, "happy-friday", is_redeemable=False)
    await push_world.campaign(pool, holdout_share=0.2, control_share=0.1)
    await pool.execute("update users set vetoed_offer_ids = array[$1::int] where user_id <= 20", coffee)
    with StandInServer() as server:
        channel = FcmChannel(server.account, base_url=server.url)
        await channel.open()
        machine = Machine(pool, snapshot, channel)
        assert await machine.planner.plan_due(BEFORE) == 200
        for hour in range(168 + 24):
            server.now = BEFORE + hour * HOUR
            await machine.drawer.draw_due(standing(server.now))
            await machine.dispatcher.dispatch(standing(server.now))
        await channel.close()
        found = await states(pool)
        assert found[State.ACCEPTED] + found[State.NO_SEND] == 200
        assert 15 <= found[State.NO_SEND] <= 70
        assert server.app.inbox.count == found[State.ACCEPTED]
    drawn = await pool.fetch(
        "select o.user_id, o.offer_id, o.send_at, o.outcome, d.in_holdout, d.offer_ids, d.propensities, d.send_probability"
        " from outbox o join decisions d using (user_id, decision_id)"
    )
    assert len(drawn) == 200
    assert {row["offer_id"] for row in drawn} == {coffee, bread, None}
    assert all(row["offer_ids"] == [bread] for row in drawn if row["user_id"] <= 20)
    assert all((row["outcome"] == "holdout") == row["in_holdout"] for row in drawn)
    assert all(0.0 < row["propensities"][0] <= 1.0 for row in drawn)
    learner = Learner(pool, CatalogueCache())
    await learner.catch_up(NOW + timedelta(days=8))
    assert await pool.fetchval("select count(*) from exposures where exposed_at is not null") == found[State.ACCEPTED]


async def test_without_a_snapshot_nothing_is_planned_or_drawn(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 1)
    await push_world.offer(pool)
    await push_world.planned(pool, await push_world.campaign(pool), [1])
    machine = Machine(pool, SnapshotCache(pool), None)
    with pytest.raises(RuntimeError, match="no snapshot"):
        await machine.planner.plan_due(BEFORE)
    with pytest.raises(RuntimeError, match="no snapshot"):
        await machine.drawer.draw_due(standing(NOW))
    assert await states(pool) == {State.PLANNED: 1}


async def test_a_worker_that_is_stopped_ends_after_the_batch_under_way(
    pool: asyncpg.Pool, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopsWorker:
        name = account = "stops"

        async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
            sent_at.add(now)
            worker.stop()
            return [Accepted("m")] * len(messages)

    sent_at: set[datetime] = set()
    monkeypatch.setattr(working, "DISPATCH_LANES", 1)
    settings = load({}, data_dir=tmp_path, fcm_messages_per_minute=100_000_000)
    worker = Worker(settings, database, StopsWorker())  # type: ignore[arg-type] # it is not opened here
    worker.pool = worker.quick_pool = pool
    worker._compose()
    await worker.composer.publish(NOW)
    await worker.snapshot.refresh()
    await push_world.people(pool, 600)
    await push_world.offer(pool)
    now = datetime.now(UTC)
    stored = await push_world.campaign(pool, holdout_share=0.0)
    await push_world.planned(pool, stored, range(1, 601), now)
    await worker.draw(now)
    await worker.send(now)
    found = await states(pool)
    assert found[State.ACCEPTED] == 500
    assert State.SENDING not in found
    assert min(sent_at) > now  # not the instant at which the round began


async def test_an_hour_asks_a_few_statements_however_many_offers_there_are(
    pool: asyncpg.Pool, snapshot: SnapshotCache
) -> None:
    await push_world.people(pool, 120)
    for number in range(100):
        await push_world.offer(pool, f"deal-{number}")
    stored = await push_world.campaign(pool, holdout_share=0.0, ends_at=STARTS_AT + timedelta(weeks=9))
    for hour in range(40):
        await push_world.planned(pool, stored, [3 * hour + 1, 3 * hour + 2, 3 * hour + 3], NOW + hour * HOUR)
    asked: list[str] = []
    async with AsyncExitStack() as every:
        for connection in [await every.enter_async_context(pool.acquire()) for _ in range(pool.get_max_size())]:
            connection.add_query_logger(lambda query: asked.append(query.query))
    busy: list[int] = []
    idle: list[int] = []
    with StandInServer() as server:
        channel = FcmChannel(server.account, base_url=server.url)
        await channel.open()
        machine = Machine(pool, snapshot, channel)
        for half_hour in range(80):
            now = NOW + half_hour * HOUR / 2
            asked.clear()
            await machine.drawer.draw_due(standing(now))
            taken = await machine.dispatcher.dispatch(standing(now))
            (busy if taken else idle).append(len(asked))
        await channel.close()
    assert (await states(pool))[State.ACCEPTED] >= 110
    assert 10 < sorted(busy)[20] <= 40
    assert sorted(idle)[20] <= 10


async def test_what_a_phone_is_handed(pool: asyncpg.Pool, snapshot: SnapshotCache) -> None:
    await push_world.people(pool, 40)
    await pool.execute("update users set birth_date = '1980-01-01'")
    await push_world.offer(pool, "wine", min_age=18)
    stored = await push_world.campaign(
        pool, "a:b", holdout_share=0.0, control_share=0.5, buttons=["not_now"], offers=["wine"]
    )
    await push_world.planned(pool, stored, range(1, 41))
    machine = Machine(pool, snapshot, None)
    await machine.drawer.draw_due(standing(NOW))
    rows = await pool.fetch(
        "select o.user_id, o.decision_id, o.message, d.in_control from outbox o join decisions d using (user_id, decision_id)"
        " where o.state = 1"
    )
    assert len(rows) > 30
    async with pool.acquire() as connection:
        key = await signing_keys.feedback_key().of(connection)
    life = timedelta(seconds=stored.campaign.ttl_s) + timedelta(hours=72)
    for row in rows:
        message = msgspec.json.decode(row["message"])
        token = message["data"].pop("feedback_token")
        assert message["data"] == {"decision_id": str(row["decision_id"]), "private": "true"}
        assert (message["title"], message["body"]) == PRIVATE_WORDS
        assert message["label"] == ("a~b-control" if row["in_control"] else "a~b-policy")
        assert (message["buttons"], message["private"], message["image_url"]) == (["not_now"], True, None)
        read = partial(feedback_token.read, key, row["decision_id"], token)
        assert (read(NOW + life - timedelta(seconds=1)), read(NOW + life)) == (row["user_id"], None)
    labels = {msgspec.json.decode(row["message"])["label"] for row in rows}
    assert labels == {"a~b-control", "a~b-policy"}
