"""Day partitions: made ahead, by whoever comes first."""

import asyncio
from datetime import UTC, datetime

import asyncpg

from service.store import partitions_by_day
from service.store.pool import open_pool

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
COUNT = "select count(*) from pg_inherits where inhparent = 'events'::regclass"

SAMPLED = """
    select string_agg(attname, ', ') from pg_attribute
     where attrelid = $1::text::regclass and atttypid in ('bytea'::regtype, 'jsonb'::regtype) and attstattarget is distinct from 0
"""

ARRAYS = """
    select attname from pg_attribute join pg_type t on t.oid = atttypid
     where attrelid = $1::text::regclass and typcategory = 'A' and attstattarget = 0
"""

TARGETS = """
    select coalesce(attstattarget, 100) from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
"""


async def test_many_at_once_make_each_partition_once(database: str) -> None:
    async with await open_pool(database, 6) as pool:

        async def ensure(_: int) -> None:
            async with pool.acquire() as connection:
                await partitions_by_day.ensure(connection, NOW, days_ahead=5)

        before = await pool.fetchval(COUNT)
        await asyncio.gather(*(ensure(n) for n in range(6)))
        assert await pool.fetchval(COUNT) == before + 6


async def test_an_event_lands_in_its_day(connection: asyncpg.Connection) -> None:
    await partitions_by_day.ensure(connection, NOW, days_ahead=0)
    assert await connection.fetchval("select to_regclass('events_20260302')") is not None
    assert await connection.fetchval("select to_regclass('events_20260303')") is None


async def test_nobody_samples_arrays(connection: asyncpg.Connection) -> None:
    await partitions_by_day.ensure(connection, NOW, days_ahead=0)
    arrays = {row[0] for row in await connection.fetch(ARRAYS, "decisions_20260302")}
    assert arrays == {"offer_ids", "propensities", "reason_codes", "personal_offsets"}


async def test_nobody_samples_what_is_packed_or_json(connection: asyncpg.Connection) -> None:
    await partitions_by_day.ensure(connection, NOW, days_ahead=0)
    for table in ("events_default", "decisions_default", *(f"{table}_20260302" for table in partitions_by_day.TABLES)):
        assert not await connection.fetchval(SAMPLED, table), table
    assert not await connection.fetchval(SAMPLED, "user_state")
    assert not await connection.fetchval(SAMPLED, "event_log")


async def test_of_all_else_a_fifth_is_sampled(connection: asyncpg.Connection) -> None:
    await partitions_by_day.ensure(connection, NOW, days_ahead=0)
    for table in partitions_by_day.TABLES:
        targets = {row[0] for row in await connection.fetch(TARGETS, f"{table}_20260302")}
        assert partitions_by_day.STATISTICS_TARGET in targets, table
        assert targets <= {0, partitions_by_day.STATISTICS_TARGET}, table
