"""The queries that run all the time touch what is open, never the whole history of the outbox."""

from typing import Any

import asyncpg
import pytest

from push import agenda, campaigns, claim, outbox
from service.store.pool import prepare
from tests.integration import push_world
from tests.integration.push_world import NOW, STARTS_AT

_HISTORY = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at,
                        moment_propensity)
    select n, $1, $2, 1, gen_random_uuid(), 0, case when n <= 40 then n % 3 else 3 + n % 6 end, $3, $3, $3, 1
      from generate_series(1, 30000) n
"""
QUERIES: list[tuple[str, tuple[Any, ...]]] = [
    (agenda._LOOK, (NOW,)),
    (outbox._DUE, (NOW, 500)),
    (outbox._SWEEP, (NOW, NOW)),
    (outbox._EXPIRE_PLANNED, (NOW, 500)),
    (outbox._EXPIRE_READY, (NOW, 500)),
    (push_world._OPEN, (NOW,)),
    (claim._CLAIM, (NOW, 500, NOW)),
    (outbox._SETTLE, (NOW, [1], [None], [NOW], [1], [3], [""], [None], 1)),
    (outbox._DRAWN, (NOW, [1], [None], [NOW], [3], [""], [None], [1], [None], 1)),
    (campaigns._WITHDRAW_PLANNED, ("campaign", NOW)),
    (campaigns._WITHDRAW_READY, ("campaign", NOW)),
]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_query_reads_the_history(connection: asyncpg.Connection, mode: str) -> None:
    await prepare(connection)
    await push_world.people(connection, 30_000)
    stored = await push_world.campaign(connection)
    await connection.execute(_HISTORY, stored.id, STARTS_AT.replace(tzinfo=NOW.tzinfo), NOW)
    await connection.execute("analyze")
    await connection.execute(f"set plan_cache_mode to {mode}")
    for query, arguments in QUERIES:
        given = [stored.id if one == "campaign" else one for one in arguments]
        plan = "\n".join(row[0] for row in await connection.fetch("explain " + query, *given))
        for table in ("outbox", "users", "devices"):
            assert f"Seq Scan on {table}" not in plan, f"{query}\n{plan}"
