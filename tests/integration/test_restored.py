"""What a restore settles, so that nothing that was sent after the backup is sent again, and nothing is counted twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest_asyncio

from push import restored, stop
from push.campaign import campaigns
from push.campaign.occurrences import due_from
from push.outbox import State
from push.planning.planner import Planner
from schema.event import EventType
from schema.sending import SendingSwitch
from service.operations import restore
from service.planning.moments import LearnedMoments
from service.store import exposure_rows
from service.store import pool as pools
from service.store.current_snapshot import SnapshotCache
from tests.integration import learning_world, push_world
from tests.integration.learning_world import START, decide, entry, log
from tests.integration.push_world import NOW, STARTS_AT, a_campaign

DAY = timedelta(days=1)
_AS_IF = "update outbox set state = $2, lease_until = $3 where user_id = $1"


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await pools.open_pool(database, 4)
    yield opened
    await opened.close()


async def settled(pool: Any, now: datetime) -> restored.Restored:
    async with pool.acquire() as connection, connection.transaction():
        return await restored.settle(connection, now, "test", "restored")


async def test_what_may_have_been_sent_is_not_sent_again_and_what_is_to_come_waits(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await push_world.people(connection, 5)
        stored = await push_world.campaign(connection)
        await push_world.planned(connection, stored, [1, 2, 3], NOW)
        await push_world.planned(connection, stored, [4, 5], NOW + 2 * DAY)
        await connection.execute(_AS_IF, 2, State.READY, None)
        await connection.execute(_AS_IF, 3, State.SENDING, NOW)
    report = await settled(pool, NOW + DAY)
    assert (report.withdrawn, report.unknown) == (1, 2)
    assert await push_world.states(pool) == {State.WITHDRAWN: 1, State.UNKNOWN: 2, State.PLANNED: 2}
    assert (
        await pool.fetchval("select count(*) from outbox where outcome = 'restored' and settled_at = $1", NOW + DAY)
        == 3
    )
    assert await pool.fetchval("select count(*) from outbox where lease_until is not null") == 0
    now = await stop.read(pool)
    assert (now.is_stopped, now.being_sent, now.reason) == (True, 0, "restored")


async def next_of(pool: Any, name: str) -> datetime | None:
    stored = await campaigns.read(pool, name)
    assert stored is not None
    return await campaigns.next_to_plan(pool, stored.id)


async def test_an_occurrence_that_began_is_passed_over_and_the_next_one_is_planned(pool: asyncpg.Pool) -> None:
    far = STARTS_AT + timedelta(weeks=9)
    async with pool.acquire() as connection:
        await push_world.people(connection, 3)
        await push_world.campaign(connection, "weekly", recurrence="weekly", ends_at=far)
        await push_world.campaign(connection, "once")
        later = a_campaign("later", starts_at=STARTS_AT + 3 * DAY, ends_at=far)
        assert await campaigns.create(
            connection, later, NOW, later.campaign.starts_at, due_from(later.campaign.starts_at)
        )
    report = await settled(pool, NOW + DAY)
    passed_over = [(one.campaign_id, one.occurrence_at) for one in report.passed_over]
    assert passed_over == [("once", STARTS_AT.isoformat()), ("weekly", STARTS_AT.isoformat())]
    assert await next_of(pool, "weekly") == STARTS_AT + timedelta(weeks=1)
    assert await next_of(pool, "once") is None
    assert await next_of(pool, "later") == STARTS_AT + 3 * DAY

    async with pool.acquire() as connection, connection.transaction():
        await stop.switch(connection, SendingSwitch(is_stopped=False, reason="looked at"), NOW + DAY, "test")
    planner = Planner(pool, LearnedMoments(SnapshotCache(pool)), b"seed")
    assert await planner.plan_due(NOW + DAY) == 0
    assert (await settled(pool, NOW + DAY)).passed_over == []


async def changed_meanwhile(pool: Any) -> int:
    """Exposures that a refit which begins now believes to have been written while it worked, though nobody writes."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read"),
        exposure_rows.spool(connection, START - DAY) as copy,
    ):
        return len(await exposure_rows.changed_since(connection, copy))


async def test_rows_of_another_server_are_not_of_the_future(pool: asyncpg.Pool, database: str) -> None:
    """Restored as SQL they name transactions that this server has not had yet."""
    async with pool.acquire() as connection:
        await learning_world.build(connection)
        for user_id in range(1, 21):
            decided = await decide(connection, user_id, START)
            await log(connection, entry(user_id, EventType.ACCEPTED, START, decision_id=decided))
        await learning_world.learner(pool).catch_up(START + 6 * DAY)
        await connection.execute("update exposures set counted_by = counted_by + 1000000000")
    assert await changed_meanwhile(pool) == 20
    await asyncio.to_thread(restore.settle, database, "restored")
    assert await changed_meanwhile(pool) == 0
