"""Several campaigns are due for the same people at once: what their rules leave room for is drawn, the rest is told why not."""

from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from push import due_rows
from push.clock import standing
from push.drawing import due
from push.drawing.due import DueDrawer
from push.outbox import State
from schema.contact_rules import Cap, ContactRules
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.planning.push_decider import PipelineDecider
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.push_world import NOW, SEED, states

PEOPLE = range(1, 21)
ONE_A_DAY = ContactRules(quiet_hours=[], caps=[Cap(pushes_max=1, within_s=86_400)], min_gap_s=0)
ALL = {"holdout_share": 0.0, "control_share": 0.0}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        await push_world.people(pool, len(PEOPLE))
        await push_world.rules(pool, ONE_A_DAY)
        await push_world.offer(pool)
        await Composer(pool).publish(NOW)
        yield pool


async def drawer(pool: asyncpg.Pool, lanes: int = 1) -> DueDrawer:
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    return DueDrawer(pool, PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN)), SEED, lanes)


async def drawn_of_each(pool: asyncpg.Pool) -> Counter[int]:
    found = await pool.fetch("select user_id from outbox where state = $1", State.READY)
    return Counter(row[0] for row in found)


async def test_of_three_campaigns_at_once_each_person_is_drawn_by_one(pool: asyncpg.Pool) -> None:
    for name in ("a", "b", "c"):
        await push_world.planned(pool, await push_world.campaign(pool, name, **ALL), PEOPLE)
    assert await (await drawer(pool)).draw_due(standing(NOW)) == 3 * len(PEOPLE)
    each = await drawn_of_each(pool)
    silent = await pool.fetchval("select count(*) from outbox where outcome = 'gate'")
    assert set(each.values()) == {1}
    assert len(each) >= len(PEOPLE) - silent
    told = dict(await pool.fetch("select outcome, count(*) from outbox where state = 8 group by 1"))
    assert told["cap_reached"] == 3 * len(PEOPLE) - len(each) - told.get("gate", 0)
    assert (
        await pool.fetchval("select count(*) from decisions where reason_codes = '{cap_reached}'")
        == told["cap_reached"]
    )


async def test_two_lanes_do_not_draw_for_a_person_at_once(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "BATCH_ROWS", 12)
    monkeypatch.setattr(due, "BACKLOG_ROWS", 12)
    for name in ("a", "b", "c"):
        await push_world.planned(pool, await push_world.campaign(pool, name, **ALL), PEOPLE)
    draws, total = await drawer(pool, lanes=2), 0
    while drawn := await draws.draw_due(standing(NOW)):
        total += drawn
    assert total == 3 * len(PEOPLE)
    assert set((await drawn_of_each(pool)).values()) == {1}


async def test_it_holds_from_batch_to_batch_until_the_claim_counts(pool: asyncpg.Pool) -> None:
    draws = await drawer(pool)
    await push_world.planned(pool, await push_world.campaign(pool, "a", **ALL), PEOPLE)
    await draws.draw_due(standing(NOW))
    first = await drawn_of_each(pool)
    await push_world.planned(pool, await push_world.campaign(pool, "b", **ALL), PEOPLE)
    await draws.draw_due(standing(NOW))
    assert set((await drawn_of_each(pool)).values()) == {1}
    assert len(first) > 15


async def test_what_is_not_counted_is_neither_held_back_nor_put_off(pool: asyncpg.Pool) -> None:
    await push_world.planned(pool, await push_world.campaign(pool, "a", **ALL), PEOPLE)
    orders = await push_world.campaign(pool, "orders", kind="transactional", **ALL)
    await push_world.planned(pool, orders, PEOPLE)
    async with pool.acquire() as connection:
        rows = await due_rows.due(connection, NOW, 500)
    assert len(rows.user_ids) == 2 * len(PEOPLE)
    assert await (await drawer(pool)).draw_due(standing(NOW)) == 2 * len(PEOPLE)
    found = await states(pool)
    assert found[State.READY] + found.get(State.NO_SEND, 0) == 2 * len(PEOPLE)
    assert found.get(State.NO_SEND, 0) < 5  # the gate alone
