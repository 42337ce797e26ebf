"""What is too old to be kept goes a day's partition at a time, and from the default partition in bounded pieces."""

from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from schema.ids import lowest_uuid7
from service.store.partitions_by_day import LOCK_WAIT
from service.telemetry import logger

DAYS_MAX: Final = 10
"""Partitions of a table that one call drops."""

ROWS_MAX: Final = 10_000
"""Rows of a default partition that one call deletes."""

_LOG: Final = logger("retention")

_OLD_DAYS: Final = """
    select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = $1::text::regclass and c.relname ~ ('^' || $1::text || '_[0-9]{8}$') and c.relname::text < $2::text
     order by 1 limit $3
"""
# PostgreSQL takes no arguments in DDL: it quotes them itself.
_DROP: Final = "select format('drop table %I', $1::text)"
_DELETE_DECISIONS: Final = """
    delete from decisions_default where ctid = any (array(
        select ctid from decisions_default where decision_id < $1 limit $2))
"""
_DELETE_EXPOSURES: Final = """
    delete from exposures_default where ctid = any (array(
        select ctid from exposures_default where decision_id < $1 limit $2))
"""
_DELETE_EVENTS: Final = """
    delete from events_default where ctid = any (array(
        select ctid from events_default where event_id < $1 limit $2))
"""
_UNCOUNTED_SINCE: Final = """
    select min(first.appended_at)
      from learner_partitions p cross join lateral (
        select e.appended_at from event_log e where e.partition = p.partition and e.seq > p.last_seq
         order by e.seq limit 1) first
"""


async def uncounted_since(connection: Any) -> datetime | None:
    """When the oldest entry of the event log was appended that the learner has not counted; None when it has counted all."""
    return await connection.fetchval(_UNCOUNTED_SINCE)  # type: ignore[no-any-return] # asyncpg is untyped


async def drop_decisions(connection: Any, before: datetime) -> None:
    """Drops decisions of days in UTC that were over by `before`. The caller must not be in a transaction."""
    await _drop(connection, "decisions", before)
    await connection.execute(_DELETE_DECISIONS, lowest_uuid7(before), ROWS_MAX)


async def drop_exposures(connection: Any, before: datetime) -> None:
    """Drops exposures of which the decision was made on a day in UTC that was over by `before`. The caller must not be in a transaction."""
    await _drop(connection, "exposures", before)
    await connection.execute(_DELETE_EXPOSURES, lowest_uuid7(before), ROWS_MAX)


async def drop_events(connection: Any, before: datetime) -> None:
    """Drops events received on days in UTC that were over by `before`. The caller must not be in a transaction."""
    await _drop(connection, "events", before)
    await connection.execute(_DELETE_EVENTS, lowest_uuid7(before), ROWS_MAX)


async def _drop(connection: Any, table: str, before: datetime) -> None:
    first_kept = f"{table}_{before.astimezone(UTC):%Y%m%d}"
    for name in [row[0] for row in await connection.fetch(_OLD_DAYS, table, first_kept, DAYS_MAX)]:
        try:
            async with connection.transaction():
                await connection.execute(LOCK_WAIT)
                await connection.execute(await connection.fetchval(_DROP, name))
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            _LOG.warning("an old day is dropped later", partition=name, reason=type(error).__name__)
            return
        _LOG.info("an old day was dropped", partition=name)
