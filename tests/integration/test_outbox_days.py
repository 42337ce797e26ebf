"""The outbox by days: made when asked for, put aside when all is settled, taken back, and dropped with their counts kept, once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from push import outbox, outbox_days
from push.campaign.campaigns import CampaignCache
from push.contact.contacts import RulesCache
from push.outbox import Key, Settled, State
from push.planning.plan_rows import Planned
from push.sending import endings
from push.sending.claim import Known, claim
from schema.campaign import StoredCampaign
from schema.ids import partition_of, stable_entropy, uuid7
from service.store.pool import open_pool, prepare
from tests.integration import push_world
from tests.integration.push_world import NOW

DAY = timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0)


@pytest.fixture
async def connection(connection: asyncpg.Connection) -> asyncpg.Connection:
    await prepare(connection)
    return connection


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 8) as pool:
        yield pool


async def planned(connection: Any, stored: StoredCampaign, occurrence: datetime, people: Sequence[int]) -> int:
    until = occurrence + DAY
    rows = [
        Planned(n, uuid7(occurrence, stable_entropy(n.to_bytes(8))), partition_of(n), occurrence, until, until, 1.0)
        for n in people
    ]
    return await outbox.plan(connection, stored, occurrence, rows)


async def settle_all(connection: Any, state: State, outcome: str) -> None:
    await connection.execute(
        "update outbox set state = $1, outcome = $2, settled_at = $3, decision_id = gen_random_uuid() where state < 3",
        int(state),
        outcome,
        NOW,
    )


async def tables(connection: Any, parent: str) -> list[str]:
    query = "select inhrelid::regclass::text from pg_inherits where inhparent = $1::text::regclass order by 1"
    return [row[0] for row in await connection.fetch(query, parent)]


async def test_a_day_goes_its_way_and_its_counts_stay(connection: asyncpg.Connection) -> None:
    stored = await push_world.campaign(connection)
    assert await planned(connection, stored, NOW, range(1, 5)) == 4
    await settle_all(connection, State.ACCEPTED, "m")
    assert await planned(connection, stored, MIDNIGHT, range(1, 7)) == 6
    await settle_all(connection, State.UNKNOWN, "timeout")
    before = await outbox.outcomes(connection, stored.id)
    assert (before.states["accepted"], before.states["unknown"], before.decisions) == (4, 6, 10)
    await outbox_days.close(connection, NOW + DAY)
    assert (await tables(connection, "outbox"), await tables(connection, "outbox_past")) == (["outbox_20260302"], [])
    closed_at = MIDNIGHT + 2 * DAY
    await outbox_days.close(connection, closed_at)
    assert (await tables(connection, "outbox"), await tables(connection, "outbox_past")) == ([], ["outbox_20260302"])
    assert await outbox.outcomes(connection, stored.id) == before
    await outbox_days.forget(connection, closed_at + outbox_days.KEPT_FOR)
    assert await tables(connection, "outbox_past") == ["outbox_20260302"]
    for _ in range(2):
        await outbox_days.forget(connection, closed_at + outbox_days.KEPT_FOR + DAY)
        assert await connection.fetchval("select to_regclass('outbox_20260302')") is None
        assert await outbox.outcomes(connection, stored.id) == before
    assert await connection.fetchval("select count(*) from outbox_counts") == 2
    assert await connection.fetchval("select count(*) from outbox_days") == 0


@pytest.mark.parametrize("state", [State.PLANNED, State.READY, State.SENDING])
async def test_a_day_stays_as_long_as_one_of_its_pushes_may_leave(connection: asyncpg.Connection, state: State) -> None:
    stored = await push_world.campaign(connection)
    await planned(connection, stored, NOW, range(1, 9))
    await settle_all(connection, State.ACCEPTED, "m")
    await connection.execute(
        "update outbox set state = $1, lease_until = $2, fence = 7 where user_id = 5", int(state), NOW
    )
    await outbox_days.close(connection, NOW + 9 * DAY)
    assert await tables(connection, "outbox") == ["outbox_20260302"]
    await settle_all(connection, State.UNKNOWN, "timeout")
    await outbox_days.close(connection, NOW + 9 * DAY)
    assert await tables(connection, "outbox") == []


async def test_what_is_planned_for_a_day_that_was_put_aside_takes_it_back(connection: asyncpg.Connection) -> None:
    stored = await push_world.campaign(connection)
    await planned(connection, stored, NOW, range(1, 5))
    await settle_all(connection, State.ACCEPTED, "m")
    await outbox_days.close(connection, NOW + 9 * DAY)
    assert await planned(connection, stored, NOW, range(1, 8)) == 3
    assert await tables(connection, "outbox") == ["outbox_20260302"]
    states = (await outbox.outcomes(connection, stored.id)).states
    assert (states["accepted"], states["planned"]) == (4, 3)
    await outbox_days.forget(connection, NOW + 99 * DAY)
    assert (await outbox.outcomes(connection, stored.id)).states == states
    await settle_all(connection, State.ACCEPTED, "m")
    await outbox_days.close(connection, NOW + 10 * DAY)
    assert await tables(connection, "outbox_past") == ["outbox_20260302"]


async def test_days_of_which_nothing_was_planned_leave_nothing_behind(connection: asyncpg.Connection) -> None:
    await outbox_days.ensure(connection, [NOW - 3 * DAY, NOW, NOW + DAY])
    await outbox_days.close(connection, NOW)
    assert await tables(connection, "outbox") == ["outbox_20260302", "outbox_20260303"]
    assert await connection.fetchval("select count(*) from outbox_days") == 2
    assert await connection.fetchval("select to_regclass('outbox_20260227')") is None


async def test_many_at_once_make_each_day_once(pool: asyncpg.Pool) -> None:
    async def ensure(_: int) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await outbox_days.ensure(connection, [NOW + n * DAY for n in range(4)])

    await asyncio.gather(*(ensure(n) for n in range(8)))
    assert len(await tables(pool, "outbox")) == 4


async def test_a_day_that_is_being_planned_for_stays(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as planner, pool.acquire() as other:
        stored = await push_world.campaign(planner)
        await outbox_days.close(planner, NOW + 9 * DAY)
        async with planner.transaction():
            await outbox_days.ensure(planner, [NOW])
        async with planner.transaction():
            await outbox_days.ensure(planner, [NOW])
            await outbox_days.close(other, NOW + 9 * DAY)
            assert await planned(planner, stored, NOW, [1]) == 1
        assert await tables(other, "outbox") == ["outbox_20260302"]


async def test_a_day_that_is_read_is_put_aside_and_dropped_later(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as reader, pool.acquire() as other:
        stored = await push_world.campaign(reader)
        await planned(reader, stored, NOW, [1])
        await settle_all(reader, State.ACCEPTED, "m")
        before = await outbox.outcomes(other, stored.id)
        async with reader.transaction():
            await reader.fetch("select from outbox")
            await outbox_days.close(other, NOW + 9 * DAY)
            assert await tables(other, "outbox") == ["outbox_20260302"]
        await outbox_days.close(other, NOW + 9 * DAY)
        async with reader.transaction():
            await reader.fetch("select from outbox_past")
            await outbox_days.forget(other, NOW + 99 * DAY)
            assert await outbox.outcomes(other, stored.id) == before
        await outbox_days.forget(other, NOW + 99 * DAY)
        assert await tables(other, "outbox_past") == []
        assert await outbox.outcomes(other, stored.id) == before


async def test_rows_of_several_days_at_the_same_place_are_told_apart(connection: asyncpg.Connection) -> None:
    """The first row of each day lies at the same place of its table."""
    stored = await push_world.campaign(connection)
    days = [NOW + n * DAY for n in range(3)]
    for day in days:
        await planned(connection, stored, day, [1])
    await connection.execute(
        "update outbox set state = 2, fence = 7, lease_until = $1 where occurrence_at = $2", NOW, days[0]
    )
    await connection.execute(
        "update outbox set state = 2, fence = 8, lease_until = $1 where occurrence_at = $2", NOW, days[1]
    )
    settled = [
        Settled(Key(1, stored.id, days[0]), 7, State.FAILED, "f"),
        Settled(Key(1, stored.id, days[1]), 8, State.ACCEPTED, "m"),
    ]
    assert await outbox.settle(connection, settled, NOW) == {7, 8}
    rows = await connection.fetch("select state, outcome from outbox order by occurrence_at")
    assert [tuple(row) for row in rows] == [(4, "f"), (3, "m"), (0, None)]
    await connection.execute("update outbox set state = 1 where occurrence_at <> $1", days[1])
    await endings.expire(connection, days[0] + DAY)
    rows = await connection.fetch("select state from outbox order by occurrence_at")
    assert [row[0] for row in rows] == [5, 3, 1]


async def test_a_claim_tells_rows_of_several_days_at_the_same_place_apart(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 1)
    offer_id = await push_world.offer(pool)
    async with pool.acquire() as connection:
        stored = await push_world.campaign(connection)
        for day in (NOW, NOW + DAY):
            await planned(connection, stored, day, [1])
        await connection.execute(
            "update outbox set state = 1, offer_id = $1, decision_id = gen_random_uuid(), message = $2, send_at = $3,"
            " send_until = case when occurrence_at = $3 then $3 else $3::timestamptz + interval '1 hour' end",
            offer_id,
            b'{"title": "t", "body": "b", "image_url": null, "data": {}}',
            NOW,
        )
        claimed = await claim(connection, NOW, 10, NOW, Known(RulesCache(), CampaignCache()))
        rows = await connection.fetch("select state, attempts from outbox order by occurrence_at")
    assert [one.key.occurrence_at for one in claimed.rows] == [NOW + DAY]
    assert [tuple(row) for row in rows] == [(State.EXPIRED, 0), (State.SENDING, 1)]
