"""From the journal into the decision log, each decision once: what a crash interrupts is done again, and what is there already stays."""

import asyncio
import io
from pathlib import Path
from typing import Any, Final

import asyncpg

from service import telemetry
from service.store import journal
from service.store.journal import Batch

_LOG: Final = telemetry.logger("journal")

_MAKE: Final = "create temporary table imported (like decisions including defaults) on commit drop"
_MARK: Final = "update imported set is_degraded = true"
_TAKE: Final = "insert into decisions select * from imported on conflict do nothing"
REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProtocolViolationError,  # rows of another form
)
"""What PostgreSQL says of rows that it will not take later either, as after an upgrade that changed the log."""


async def import_all(connection: Any, data_dir: Path) -> int:
    """Imports and removes every file that nobody holds; the number of decisions that were not there yet.

    One that PostgreSQL refuses is set aside.
    """
    imported = 0
    for path in await asyncio.to_thread(journal.files, data_dir):
        with journal.held(path) as data:
            if data is None:
                continue
            whole, cut = journal.batches(data)
            if cut:
                _LOG.warning("the end of a journal was not whole and is cut off", bytes=cut)
            try:
                imported += await _import(connection, whole)
            except REFUSED as error:
                journal.set_aside(path)
                telemetry.FAILURES.labels("journal").inc()
                _LOG.error("a journal is refused and set aside", file=path.name, error=type(error).__name__)
            else:
                journal.remove(path)
    telemetry.JOURNAL_IMPORTED.inc(imported)
    return imported


async def _import(connection: Any, batches: list[Batch]) -> int:
    imported = 0
    for batch in batches:
        async with connection.transaction():
            await connection.execute(_MAKE)
            source = io.BytesIO(batch.rows)
            await connection.copy_to_table("imported", source=source, columns=batch.columns, format="binary")
            await connection.execute(_MARK)
            imported += int((await connection.execute(_TAKE)).rpartition(" ")[2])
    return imported
