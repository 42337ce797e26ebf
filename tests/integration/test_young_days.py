"""Of a day that has just begun PostgreSQL's statistics are those of its first minute: what is looked up by key is looked up in an index all the same."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from schema.ids import uuid7
from service.store import decision_features, exposures, partitions_by_day, policy_log

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
FIRST, ROWS = 200, 12_000
COLUMNS = ["user_id", "decision_id", "slot", "offer_id", "exposed_at", "phi", "personal_offset", "is_push"]


def shown(n: int) -> tuple[Any, ...]:
    """The nth exposure of the day: twenty in a second."""
    at = MIDNIGHT + timedelta(milliseconds=50 * n)
    return n % 5000, uuid7(at, n.to_bytes(10)), 0, n % 50, at, b"", 0.0, False


async def begun_day(connection: asyncpg.Connection) -> list[tuple[int, UUID]]:
    """A day of which the first rows were analysed, and many came since; the keys of the last of these."""
    await partitions_by_day.ensure(connection, MIDNIGHT)
    await connection.execute("alter table exposures_20260302 set (autovacuum_enabled = off)")
    rows = [shown(n) for n in range(ROWS)]
    await connection.copy_records_to_table("exposures", records=rows[:FIRST], columns=COLUMNS)
    await connection.execute("analyze exposures_20260302")
    await connection.copy_records_to_table("exposures", records=rows[FIRST:], columns=COLUMNS)
    return [(row[0], row[1]) for row in rows[-2000:]]


async def plan_of(connection: asyncpg.Connection, query: str, *arguments: Any) -> str:
    lines = await connection.fetch(f"explain {query}", *arguments)
    return "\n".join(line[0] for line in lines)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("keys_asked", [1, 30, 2000])
async def test_a_young_day_is_not_read_whole(connection: asyncpg.Connection, mode: str, keys_asked: int) -> None:
    keys = (await begun_day(connection))[-keys_asked:]
    await connection.execute(f"set plan_cache_mode to {mode}")
    users, ids = [key[0] for key in keys], [key[1] for key in keys]
    offers, until = [n % 50 for n in range(ROWS)][-keys_asked:], MIDNIGHT + timedelta(hours=1)
    asked: list[tuple[str, tuple[Any, ...]]] = [
        (exposures._BY_DECISION, (users, ids, min(ids), max(ids))),
        (exposures._BY_OFFER, (users, offers, uuid7(MIDNIGHT - timedelta(days=7), bytes(10)), MIDNIGHT, until)),
        (policy_log._OUTCOMES, (users, ids, min(ids), max(ids))),
        (decision_features._LOAD, (users, ids, min(ids), max(ids), 0)),
    ]
    for query, arguments in asked:
        plan = await plan_of(connection, query, *arguments)
        assert "Seq Scan on exposures_20260302" not in plan, f"{query}\n{plan}"
        assert "Seq Scan on decisions_20260302" not in plan, f"{query}\n{plan}"
    assert len(await exposures.of_decisions(connection, keys)) == keys_asked
    found = await exposures.of_offers(connection, list(zip(users, offers, strict=True)), MIDNIGHT, until)
    assert {key[:2] for key in found} >= set(keys)
