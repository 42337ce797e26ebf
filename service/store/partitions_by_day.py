"""Day partitions of the tables that grow: ranges of the UUIDv7 that begins with the day, made ahead of time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from schema.ids import lowest_uuid7
from service.telemetry import logger

TABLES: Final = ("events", "decisions", "exposures")

_LOG: Final = logger("partitions")
_DAY: Final = timedelta(days=1)
_KNOWN: Final = "select c.relname from pg_class c where c.relname = any($1::text[])"
# The text of a statement that PostgreSQL itself puts together: names quoted, bounds as literals.
_MAKE: Final = """
    select format('create table if not exists %I partition of %I for values from (%L) to (%L)', $1::text, $2::text, $3::uuid, $4::uuid)
"""


async def ensure(connection: Any, now: datetime, days_ahead: int = 2) -> int:
    """Makes the partitions of today and the days ahead; how many are new.

    A day whose rows already lie in the default partition stays there: that is logged, and nothing is lost.
    """
    wanted = {f"{table}_{day:%Y%m%d}": (table, day) for table, day in _days(now, days_ahead)}
    known = {row[0] for row in await connection.fetch(_KNOWN, list(wanted))}
    made = 0
    for name, (table, day) in wanted.items():
        if name not in known:
            made += await _make(connection, name, table, day)
    return made


def _days(now: datetime, days_ahead: int) -> Iterator[tuple[str, datetime]]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for ahead in range(days_ahead + 1):
        for table in TABLES:
            yield table, today + ahead * _DAY


async def _make(connection: Any, name: str, table: str, day: datetime) -> int:
    statement = await connection.fetchval(_MAKE, name, table, lowest_uuid7(day), lowest_uuid7(day + _DAY))
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except asyncpg.CheckViolationError:
        _LOG.warning("rows of this day lie in the default partition already", table=table, day=f"{day:%Y-%m-%d}")
        return 0
    return 1
