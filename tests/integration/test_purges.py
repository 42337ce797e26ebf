"""What is purged goes in pieces, found by an index that still finds it when the table has been filled and emptied many times."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from schema.event import EventType
from service.learning.learner import Learner
from service.store import answers, event_keys, event_log, idempotency, pieces
from service.store.catalogue import CatalogueCache
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.learning_world import entry, log

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
DAY = timedelta(days=1)
_KEYS = """
    insert into event_keys (user_id, event_key, received_at)
    select n, gen_random_uuid(), $1::timestamptz + n * interval '1 second' from generate_series(1, $2::int) n
"""
_ANSWERED = """
    insert into idempotency_keys (key_id, idempotency_key, request_sha256, status, answer, created_at)
    select gen_random_uuid(), n::text, '', 200, '', $1 from generate_series(1, $2::int) n
"""
_APPENDED = """
    insert into event_log (partition, seq, body, appended_at)
    select p, n, '\\x90', $1::timestamptz + n * interval '1 second' from generate_series(0, 63) p, generate_series(1, $2::int) n
"""


async def test_keys_go_in_pieces_and_the_young_ones_stay(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 70)
    await connection.execute(_KEYS, NOW - event_keys.KEPT_FOR - DAY, 200)
    await connection.execute(_KEYS, NOW - event_keys.KEPT_FOR, 5)
    await event_keys.purge(connection, NOW)
    assert await connection.fetchval("select count(*) from event_keys") == 5


async def test_one_call_is_bounded_and_the_next_one_goes_on(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 10)
    monkeypatch.setattr(pieces, "PIECES_MAX", 3)
    await connection.execute(_ANSWERED, NOW - DAY - DAY, 50)
    for left in (20, 0):
        await idempotency.purge(connection, NOW)
        assert await connection.fetchval("select count(*) from idempotency_keys") == left


async def test_keys_are_found_by_age_though_new_ones_have_taken_the_place_of_old_ones(
    connection: asyncpg.Connection,
) -> None:
    for round_ in range(3):
        at = NOW + round_ * event_keys.KEPT_FOR
        await connection.execute(_KEYS, at - timedelta(minutes=1), 20_000)
        await event_keys.purge(connection, at)
        await connection.execute("vacuum analyze event_keys")
    statement = event_keys._PURGE.replace("$1", f"'{NOW.isoformat()}'").replace("$2", "20000")
    plan = "\n".join(row[0] for row in await connection.fetch("explain " + statement))
    assert "event_keys_age" in plan
    assert "Seq Scan" not in plan


async def test_of_the_log_goes_what_is_old_and_counted(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "TRIMMED_ROWS", 7)
    await connection.execute(_APPENDED, NOW - timedelta(seconds=30), 40)
    await connection.execute("update learner_partitions set last_seq = partition % 2 * 1000 + 10")
    await event_log.trim(connection, NOW)
    found = await connection.fetch("select partition % 2, min(seq), max(seq) from event_log group by 1 order by 1")
    assert [tuple(row) for row in found] == [(0, 11, 40), (1, 30, 40)]


async def test_answers_are_forgotten_also_while_there_is_always_something_to_count(
    connection: asyncpg.Connection, database: str
) -> None:
    await push_world.people(connection, 1)
    old = answers.Answer(1, UUID(int=7), NOW - answers.KEPT_FOR - DAY, 0, 1, None, 0)
    await answers.put(connection, [old])
    await log(connection, entry(1, EventType.PURCHASE, NOW, tag_ids=(2,), local_hour=9), at=NOW)
    async with await open_pool(database, 2) as pool:
        assert await Learner(pool, CatalogueCache()).fold_once(NOW) == 1
    assert await connection.fetchval("select count(*) from answers") == 0
