"""The schema: does it fit this program, and is there a place for tomorrow's rows?"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from service.doctor.finding import Finding, Group
from service.store import migrate
from service.store.partitions_by_day import TABLES

_GROUP: Final = Group("schema")

_MISSING: Final = "select n from unnest($1::text[]) as t(n) where to_regclass(n) is null order by n"
_STRAYED: Final = """
    select n from (values ('events_default', (select exists (select from events_default))),
                          ('decisions_default', (select exists (select from decisions_default))),
                          ('exposures_default', (select exists (select from exposures_default)))) as t(n, has_rows)
     where has_rows
"""


async def look(connection: Any, now: datetime) -> list[Finding]:
    """All findings about the schema; of partitions only where there is one."""
    try:
        pending = await migrate.pending(connection)
    except migrate.MigrationError as error:
        return [_GROUP.fail("migrations", str(error), "install the program that made this schema, or restore a backup")]
    if pending:
        advice = "`welltimed migrate` or `welltimed serve` applies them"
        return [_GROUP.warn("migrations", f"{len(pending)} not applied, from {pending[0]}", advice)]
    return [_GROUP.ok("migrations", "all applied"), await _days(connection, now), await _strayed(connection)]


async def _days(connection: Any, now: datetime) -> Finding:
    days = [now.astimezone(UTC) + timedelta(days=ahead) for ahead in (0, 1)]
    missing = [
        row[0] for row in await connection.fetch(_MISSING, [f"{t}_{day:%Y%m%d}" for t in TABLES for day in days])
    ]
    says = f"missing: {', '.join(missing)}" if missing else "today's and tomorrow's are there"
    return _GROUP.graded(
        "partitions", says, "the worker makes them every hour: does one run?", warn=bool(missing), fail=False
    )


async def _strayed(connection: Any) -> Finding:
    found = [row[0] for row in await connection.fetch(_STRAYED)]
    says = f"rows in {', '.join(found)}" if found else "no row in a default partition"
    advice = "rows came for days without a partition; they are read and dropped with age, only slower"
    return _GROUP.graded("default partitions", says, advice, warn=bool(found), fail=False)
