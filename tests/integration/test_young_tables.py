"""What is asked for by key is looked up in an index, whatever PostgreSQL thinks of the size of the table or of the list."""

from datetime import UTC, datetime

import asyncpg
import pytest

from service.store import people, taste_maps
from service.store.pool import open_pool

NOW = datetime(2026, 3, 2, tzinfo=UTC)
GROWN = "insert into identities (kind, external_id, user_id, linked_at) select 0, 'known-' || n, n, $1 from generate_series($2::int, $3::int) n"
STATES = "insert into user_state (user_id, tastes, rhythm, updated_at) select user_id, '', '', $1 from users"
PEOPLE = "insert into users (user_id, external_id, created_at) overriding system value select n, 'known-' || n, $1 from generate_series(1, 30000) n"


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_who_is_new_is_made_without_reading_all_who_are_known(database: str, mode: str) -> None:
    async with await open_pool(database, 1, looks_up=True) as pool, pool.acquire() as connection:
        await connection.execute("alter table identities set (autovacuum_enabled = off)")
        await connection.execute(PEOPLE, NOW)
        await connection.execute(GROWN, NOW, 1, 300)
        await connection.execute("analyze identities")
        await connection.execute(GROWN, NOW, 301, 30_000)
        await connection.execute(f"set plan_cache_mode to {mode}")
        asked = ([0] * 400, [f"known-{n}" if n % 2 else f"new-{n}" for n in range(1, 401)])
        assert "Seq Scan on identities" not in await plan_of(connection, people._CREATE, *asked, NOW)
        assert "Seq Scan on identities" not in await plan_of(connection, people._NAMED, asked[1], asked[1])


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("count", [100, 1_000, 5_000])
async def test_a_sample_of_the_people_reads_no_others(connection: asyncpg.Connection, mode: str, count: int) -> None:
    await connection.execute(PEOPLE, NOW)
    await connection.execute(STATES, NOW)
    await connection.execute("analyze users")
    await connection.execute("analyze user_state")
    await connection.execute(f"set plan_cache_mode to {mode}")
    plan = await plan_of(connection, taste_maps._SAMPLE, list(range(1, 30_001, 30_000 // count)))
    assert "Seq Scan" not in plan, plan


async def plan_of(connection: asyncpg.Connection, query: str, *arguments: object) -> str:
    return "\n".join(line[0] for line in await connection.fetch(f"explain {query}", *arguments))
