"""Partitions by day, made ahead: ranges of UUIDv7, so that an id alone says where its row is."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from schema.ids import lowest_uuid7
from service.telemetry import logger

TABLES: Final = ("events", "decisions", "exposures")
LOCK_WAIT: Final = "set local lock_timeout = '2s'"

_LOG: Final = logger("partitions")

_MISSING: Final = "select n from unnest($1::text[]) with ordinality as t(n, i) where to_regclass(n) is null order by i"
# PostgreSQL takes no arguments in DDL: it quotes them itself.
_DDL: Final = """
    select format('create table if not exists %I partition of %I for values from (%L) to (%L)', $1::text, $2::text, $3::uuid, $4::uuid)
"""

# As migration 0046 says it of the partitions that were there; of arrays since then. Of the others ANALYZE samples 300 rows for each step of the
# target, whole: by PostgreSQL's own 100 a quarter of a second of decisions, and a core that others wait for. Keys are looked up by index anyway.
STATISTICS_TARGET: Final = 20
_SAMPLES: Final = """
    select format('alter table %I %s', $1::text, string_agg(format('alter column %I set statistics %s', attname,
               case when typname in ('bytea', 'jsonb') or typcategory = 'A' then 0 else $2::integer end), ', '))
      from pg_attribute join pg_type on pg_type.oid = atttypid
     where attrelid = $1::text::regclass and attnum > 0 and not attisdropped
"""


async def ensure(connection: Any, now: datetime, days_ahead: int = 2) -> None:
    """Makes the partitions of today and of `days_ahead` further days in UTC that do not exist.

    A day of which rows lie in the default partition already is left to it, and so is one whose tables are locked for long; both are
    logged and cost nothing but speed. The caller must not be in a transaction.
    """
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today + timedelta(days=ahead) for ahead in range(days_ahead + 1)]
    wanted = {f"{table}_{day:%Y%m%d}": (table, day) for day in days for table in TABLES}
    for name in [row[0] for row in await connection.fetch(_MISSING, list(wanted))]:
        table, day = wanted[name]
        try:
            await _create(connection, name, table, lowest_uuid7(day), lowest_uuid7(day + timedelta(days=1)))
        except (asyncpg.DuplicateTableError, asyncpg.UniqueViolationError):
            continue  # another process was quicker, which "if not exists" does not see
        except (asyncpg.CheckViolationError, asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            _LOG.warning("a day stays in the default partition", partition=name, reason=type(error).__name__)


async def _create(connection: Any, name: str, table: str, lowest: UUID, end: UUID) -> None:
    async with connection.transaction():
        await connection.execute(LOCK_WAIT)
        await connection.execute(await connection.fetchval(_DDL, name, table, lowest, end))
        await connection.execute(await connection.fetchval(_SAMPLES, name, STATISTICS_TARGET))
