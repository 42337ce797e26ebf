"""What is dropped with age, and what is not: unlearned entries, younger days, other tables."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from schema.ids import uuid7
from service.planning.ticks import _drop_old_days
from service.store import partitions_by_day, retention
from tests.integration import learning_world

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
DAY = timedelta(days=1)
_EVENT = "insert into events values (1, $1, 1, $2, $2, null, null, 0, '{}')"


async def filled(connection: asyncpg.Connection, now: datetime, ages_days: list[int]) -> None:
    """A decision, an event and an exposure of each age, in partitions of their days."""
    for age in ages_days:
        at = now - age * DAY
        await partitions_by_day.ensure(connection, at, days_ahead=0)
        await one_of_each(connection, at)


async def one_of_each(connection: asyncpg.Connection, at: datetime) -> None:
    decided = await learning_world.decide(connection, 1, at)
    await connection.execute("insert into exposures values (1, $1, 0, 1)", decided)
    await connection.execute(_EVENT, uuid7(at, b"e" * 10), at)


async def ages(connection: asyncpg.Connection, table: str, column: str) -> list[int]:
    """Whole days of age of the rows that are left."""
    rows = await connection.fetch(f"select {column} from {table}")
    found = [datetime.fromtimestamp((row[0].int >> 80) / 1000, UTC) for row in rows]
    return sorted((NOW - at) // DAY for at in found)


async def test_old_days_are_dropped_and_younger_ones_and_exposures_stay(connection: asyncpg.Connection) -> None:
    await filled(connection, NOW, [0, 179, 180, 181, 399, 401])
    await _drop_old_days(connection, NOW)
    # The day that began 180 days ago was not over then.
    assert await ages(connection, "decisions", "decision_id") == [0, 179, 180]
    assert await ages(connection, "events", "event_id") == [0, 179, 180, 181, 399]
    assert await ages(connection, "exposures", "decision_id") == [0, 179, 180, 181, 399, 401]
    assert await connection.fetchval("select to_regclass('decisions_20250902')") is None
    await _drop_old_days(connection, NOW)
    assert await ages(connection, "decisions", "decision_id") == [0, 179, 180]


async def test_old_rows_of_the_default_partition_go_too(connection: asyncpg.Connection) -> None:
    for age in (1, 181, 401):
        await one_of_each(connection, NOW - age * DAY)
    await _drop_old_days(connection, NOW)
    assert await ages(connection, "decisions", "decision_id") == [1]
    assert await ages(connection, "events", "event_id") == [1, 181]


async def test_a_call_is_bounded(connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "DAYS_MAX", 2)
    monkeypatch.setattr(retention, "ROWS_MAX", 1)
    await filled(connection, NOW, [190, 191, 192])
    for age in (300, 301):
        await one_of_each(connection, NOW - age * DAY)
    await _drop_old_days(connection, NOW)
    assert len(await ages(connection, "decisions", "decision_id")) == 2
    await _drop_old_days(connection, NOW)
    assert await ages(connection, "decisions", "decision_id") == []


@pytest.mark.parametrize(
    ("behind_days", "decisions", "events"),
    [
        (None, [], [181, 229, 231]),
        (200, [181, 229], [181, 229, 231]),
        (401, [181, 229, 231, 401, 403], [181, 229, 231, 401]),
    ],
)
async def test_what_the_learner_has_not_counted_keeps_its_decisions_and_events(
    connection: asyncpg.Connection, behind_days: int | None, decisions: list[int], events: list[int]
) -> None:
    await filled(connection, NOW, [181, 229, 231, 401, 403])
    behind = None if behind_days is None else NOW - behind_days * DAY
    appended_at = [NOW - 500 * DAY, behind or NOW]
    await connection.execute("insert into event_log values (3, 1, '', $1), (3, 2, '', $2)", *appended_at)
    await connection.execute("update learner_partitions set last_seq = $1 where partition = 3", 1 if behind else 2)
    assert await retention.uncounted_since(connection) == behind
    await _drop_old_days(connection, NOW)
    assert await ages(connection, "decisions", "decision_id") == decisions
    assert await ages(connection, "events", "event_id") == events


async def test_a_day_that_is_being_read_is_dropped_later(connection: asyncpg.Connection, database: str) -> None:
    await filled(connection, NOW, [200])
    reader = await asyncpg.connect(database)
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("select from decisions")
    await _drop_old_days(connection, NOW)
    assert await ages(connection, "decisions", "decision_id") == [200]
    await reading.rollback()
    await reader.close()
    await _drop_old_days(connection, NOW)
    assert await ages(connection, "decisions", "decision_id") == []
