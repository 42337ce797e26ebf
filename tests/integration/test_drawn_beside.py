"""Several processes draw from the same rows, and people are merged meanwhile: each row is drawn once, and stays with its decision."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from push import outbox
from push.clock import standing
from push.decider import Batch, Drawn
from push.drawing import due
from push.drawing.due import DueDrawer
from push.outbox import State
from service import drawer as drawing
from service.drawer import Drawer
from service.learning.composer import Composer
from service.settings import Settings
from service.store import merge
from service.store.pool import open_pool
from service.store.user_state import State as UserState
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, SEED, FirstOffer, states

PEOPLE = range(1, 61)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 6) as pool:
        await push_world.people(pool, len(PEOPLE))
        await push_world.offer(pool)
        yield pool


class Meeting(FirstOffer):
    """Draws its first batch when all hold one, however late one of them has been connected."""

    def __init__(self, offer_id: int, all_of_them: asyncio.Barrier) -> None:
        super().__init__(offer_id)
        self.all_of_them: asyncio.Barrier | None = all_of_them

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        if self.all_of_them is not None:
            meeting, self.all_of_them = self.all_of_them, None
            async with asyncio.timeout(20.0):
                await meeting.wait()
        return await super().decide(connection, batch, now)


async def test_drawers_beside_each_other_draw_each_row_once(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BATCH_ROWS", 7)
    monkeypatch.setattr(due, "BACKLOG_ROWS", 7)
    await push_world.planned(pool, await push_world.campaign(pool), PEOPLE)
    both = asyncio.Barrier(2)
    drawers = [DueDrawer(pool, Meeting(1, both), SEED, 2) for _ in range(2)]
    drawn = await asyncio.gather(*(one.draw_due(standing(NOW)) for one in drawers))
    assert sum(drawn) == len(PEOPLE)
    assert min(drawn) > 0
    logged = Counter(row[0] for row in await pool.fetch("select user_id from decisions"))
    assert logged == dict.fromkeys(PEOPLE, 1)
    assert await states(pool) == {State.READY: len(PEOPLE)}


async def test_what_was_left_out_on_the_way_is_drawn_before_it_ends(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, "BATCH_ROWS", 7)
    monkeypatch.setattr(due, "BACKLOG_ROWS", 7)
    for name in ("a", "b"):
        await push_world.planned(pool, await push_world.campaign(pool, name), PEOPLE)
    await pool.execute("update outbox set send_at = send_at - user_id * interval '1 min'")
    first = await pool.fetchval("select campaign_id from campaigns order by campaign_id limit 1")
    late: list[int] = []

    class Frees(FirstOffer):
        """A row that nobody could see is there again once a later one is being drawn."""

        async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
            if len(late) < 3:
                late.append(batch[0][1][0].user_id)
                await pool.execute(
                    "update outbox set send_at = $1 where campaign_id = $2 and user_id = $3",
                    NOW - 99 * HOUR,
                    first,
                    len(late),
                )
            return await super().decide(connection, batch, now)

    assert await DueDrawer(pool, Frees(1), SEED).draw_due(standing(NOW)) == 2 * len(PEOPLE)
    assert await states(pool) == {State.READY: 2 * len(PEOPLE)}


async def test_a_row_of_nobody_is_withdrawn_and_holds_nothing_up(pool: asyncpg.Pool) -> None:
    await push_world.planned(pool, await push_world.campaign(pool), PEOPLE)
    await pool.execute("delete from devices where user_id = 3")
    await pool.execute("delete from users where user_id = 3")
    assert await DueDrawer(pool, FirstOffer(1), SEED).draw_due(standing(NOW)) == len(PEOPLE)
    assert await states(pool) == {State.READY: len(PEOPLE) - 1, State.WITHDRAWN: 1}
    assert await pool.fetchval("select outcome from outbox where user_id = 3") == "person_gone"


class Slow(FirstOffer):
    """Takes its time in the middle of a draw."""

    def __init__(self, offer_id: int) -> None:
        super().__init__(offer_id)
        self.has_begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        self.has_begun.set()
        await self.may_end.wait()
        return await super().decide(connection, batch, now)


async def test_a_merge_waits_for_the_draw_and_takes_row_and_decision_with_it(pool: asyncpg.Pool) -> None:
    kept, lost = 1, 2
    await push_world.planned(pool, await push_world.campaign(pool), [lost])
    decider = Slow(1)
    draw = asyncio.create_task(DueDrawer(pool, decider, SEED).draw_due(standing(NOW)))
    await decider.has_begun.wait()
    merging = asyncio.create_task(merged(pool, kept, lost))
    async with asyncio.timeout(10.0):
        while not await pool.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)
    decider.may_end.set()
    assert await draw == 1
    await merging
    assert await pool.fetchval("select user_id from outbox where state = 1") == kept
    assert await pool.fetchval("select user_id from decisions") == kept


async def test_a_person_who_is_being_merged_is_drawn_for_afterwards(pool: asyncpg.Pool) -> None:
    kept, lost = 1, 2
    await push_world.planned(pool, await push_world.campaign(pool), [lost])
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch("select from users where user_id in ($1, $2) for update", kept, lost)
        await merge.merge(connection, kept, lost, NOW, of_first)
        assert await DueDrawer(pool, FirstOffer(1), SEED).draw_due(standing(NOW)) == 0
    assert await DueDrawer(pool, FirstOffer(1), SEED).draw_due(standing(NOW)) == 1
    assert await pool.fetchval("select user_id from decisions") == kept


def of_first(one: UserState, _: UserState) -> UserState:
    return one


async def merged(pool: asyncpg.Pool, kept: int, lost: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch("select from users where user_id in ($1, $2) for update", kept, lost)
        await merge.merge(connection, kept, lost, NOW, of_first)


async def test_a_helping_drawer_leaves_little_to_the_worker_and_takes_its_share_of_much(
    pool: asyncpg.Pool, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "HELPS_FROM_ROWS", 40)
    await Composer(pool).publish(NOW)
    stored = await push_world.campaign(pool, holdout_share=0.0, control_share=0.0)
    helping = Drawer(Settings(data_dir=tmp_path, is_virtual_clock=False), database)
    helping._clock = Standing()
    running = asyncio.create_task(helping.run())
    await push_world.planned(pool, stored, PEOPLE[:39])
    await asyncio.sleep(4 * drawing.LOOK_EVERY_S)
    assert await states(pool) == {State.PLANNED: 39}
    await push_world.planned(pool, stored, PEOPLE[39:])
    async with asyncio.timeout(20.0):
        while State.PLANNED in await states(pool):
            await asyncio.sleep(0.05)
    helping.stop()
    await running
    assert await pool.fetchval("select count(*) from decisions") == len(PEOPLE)


class Standing:
    """A clock that stands."""

    async def now(self) -> datetime:
        return NOW


async def test_what_is_stopped_or_not_yet_due_is_no_backlog(pool: asyncpg.Pool) -> None:
    await push_world.planned(pool, await push_world.campaign(pool), PEOPLE)
    async with pool.acquire() as connection:
        assert await outbox.is_backlog(connection, NOW, len(PEOPLE))
        assert not await outbox.is_backlog(connection, NOW, len(PEOPLE) + 1)
        assert not await outbox.is_backlog(connection, NOW - HOUR, 1)
        await connection.execute("update campaigns set status = 'paused'")
        assert not await outbox.is_backlog(connection, NOW, 1)
