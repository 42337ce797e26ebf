"""kill -9 of planners in the middle of their work: each person has exactly one push, the one that an undisturbed planner gives them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC

import asyncpg
import pytest

from push.campaign import campaigns
from push.planning.audience import Reachable, people_of
from push.planning.bucket_plan import plan_bucket
from push.planning.plan_rows import planned
from push.planning.planner import Planner
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.planner_process import BLOCK_PEOPLE, Slow
from tests.integration.push_world import HOUR, NOW, OFF, SEED, STARTS_AT

BEFORE = STARTS_AT.replace(tzinfo=UTC) - HOUR
PEOPLE = 2_000
KILLS = 3
_ROWS = (
    "select user_id, outbox_id, bucket, send_at, send_until, expires_at, moment_propensity from outbox order by user_id"
)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


async def planned_so_far(pool: asyncpg.Pool) -> int:
    return int(await pool.fetchval("select count(*) from outbox"))


async def test_each_person_is_planned_once_however_often_planners_are_killed(pool: asyncpg.Pool, database: str) -> None:
    await push_world.people(pool, PEOPLE)
    stored = await push_world.campaign(pool)
    command = (sys.executable, "-m", "tests.integration.planner_process", database, BEFORE.isoformat())
    for _ in range(KILLS):
        before = await planned_so_far(pool)
        side_by_side = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]
        async with asyncio.timeout(120):
            while await planned_so_far(pool) < before + 3 * BLOCK_PEOPLE:
                await asyncio.sleep(0.01)
        for process in side_by_side:
            process.kill()
            assert await process.wait() < 0, "it had not ended by itself"
        found = await planned_so_far(pool)
        assert found % BLOCK_PEOPLE == 0
        assert found < PEOPLE
        assert await campaigns.begin_occurrence(pool, stored.id, STARTS_AT) == found
    last = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(120):
        assert await last.wait() == 0
    people = people_of([Reachable(n, "UTC", b"") for n in range(1, PEOPLE + 1)], Slow.rhythm_bytes)
    wanted = planned(plan_bucket(stored, STARTS_AT, people, Slow(), SEED, BEFORE, OFF))
    assert [tuple(row) for row in await pool.fetch(_ROWS)] == wanted


async def test_a_row_that_a_merge_of_people_put_there_stays(pool: asyncpg.Pool) -> None:
    """COPY knows no conflicts: the block in which there is one is written the slower way."""
    await push_world.people(pool, 30)
    stored = await push_world.campaign(pool)
    await push_world.planned(pool, stored, [7], NOW)
    before = await pool.fetchrow("select * from outbox")
    assert await Planner(pool, Slow(), SEED).plan_due(BEFORE) == 29
    assert await pool.fetchrow("select * from outbox where user_id = 7") == before
    assert await planned_so_far(pool) == 30
    assert await campaigns.begin_occurrence(pool, stored.id, STARTS_AT) is None
