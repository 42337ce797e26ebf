"""Brings a database to the schema of this program: ordered .sql files, forward only, safe when several processes start at once."""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Final

import asyncpg

from service.store import session_lock

LOCK: Final = 0x77656C6C74  # any bigint, the same in every process
LOCK_WAIT_S: Final = 600.0
LOCK_POLL_S: Final = 0.1
CONNECT_TIMEOUT_S: Final = 5.0

NAME: Final = re.compile(r"\d{4}_[a-z0-9_]+")
HEADER: Final = re.compile(r"^-- migrate:up(?P<options>[^\n]*)$", re.MULTILINE)
NO_TRANSACTION: Final = "transaction:false"

MAKE_TABLE: Final = """
create table if not exists schema_migrations (
    version text primary key,
    checksum bytea not null,
    applied_at timestamptz not null default now()
)
"""
HAS_TABLE: Final = "select to_regclass('schema_migrations') is not null"
APPLIED: Final = "select version, checksum from schema_migrations"
RECORD: Final = "insert into schema_migrations (version, checksum) values ($1, $2)"
# A migration waits this long for a lock: while it waits for one, every later query of that table queues behind it.
BOUND_WAITS: Final = "set local lock_timeout = '30s'; set local statement_timeout = 0"
# The index of a partitioned table ('I') may rightly be invalid until its parts are attached.
INVALID_INDEXES: Final = """
select i.indexrelid::regclass::text
  from pg_index i join pg_class c on c.oid = i.indexrelid
 where not i.indisvalid and c.relkind = 'i'
"""


class MigrationError(Exception):
    """The schema of the database and the migrations of this program do not fit, or one of them failed; says which."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name without `.sql`, the SHA-256 of all of it, its SQL, and whether that runs in a transaction."""

    name: str
    checksum: bytes
    sql: str
    in_transaction: bool


def default_folder() -> Path:
    """The migrations that came with this program."""
    return Path(str(resources.files("schema") / "migrations"))


def read_folder(folder: Path) -> list[Migration]:
    """The migrations of `folder` in their order. Raises MigrationError for a bad name, a number used twice, a file without SQL."""
    if not folder.is_dir():
        raise MigrationError(f"{folder} is not a folder of migrations.")
    migrations = [_read(file) for file in sorted(folder.glob("*.sql"))]
    for before, after in pairwise(migrations):
        if before.name[:4] == after.name[:4]:
            raise MigrationError(f"{before.name} and {after.name} have the same number.")
    return migrations


def _read(file: Path) -> Migration:
    if NAME.fullmatch(file.stem) is None:
        raise MigrationError(f"{file.name} is not named NNNN_what_it_does.sql.")
    text = file.read_text(encoding="utf-8")
    headers = list(HEADER.finditer(text))
    if len(headers) != 1:
        raise MigrationError(f"{file.name} has {len(headers)} lines '-- migrate:up' and needs one.")
    options, sql = headers[0]["options"].split(), text[headers[0].end() :].strip()
    if options not in ([], [NO_TRANSACTION]):
        raise MigrationError(f"{file.name}: '-- migrate:up' knows only the option {NO_TRANSACTION}.")
    if not sql:
        raise MigrationError(f"{file.name} has no SQL after '-- migrate:up'.")
    return Migration(file.stem, hashlib.sha256(text.encode()).digest(), sql, in_transaction=not options)


async def migrate(
    dsn_or_conn: str | asyncpg.Connection, folder: Path | None = None, *, lock_wait_s: float = LOCK_WAIT_S
) -> list[str]:
    """Applies what is missing, one transaction a file, and returns the names of what this call applied.

    Two at once are fine: one applies, the other waits and finds nothing to do. A given connection must be direct (not
    pooled in transaction mode) and outside of a transaction.
    Raises MigrationError: an applied file was edited or is not here (the database is newer), a file comes before one
    already applied, the SQL failed, or the lock was not free within `lock_wait_s` seconds.
    """
    migrations = read_folder(folder or default_folder())
    if not isinstance(dsn_or_conn, str):
        return await _migrate(dsn_or_conn, migrations, lock_wait_s)
    conn = await asyncpg.connect(dsn_or_conn)
    try:
        return await _migrate(conn, migrations, lock_wait_s)
    finally:
        await conn.close()


async def pending(conn: asyncpg.Connection, folder: Path | None = None) -> list[str]:
    """Names of the migrations the database lacks, without changing it. Raises MigrationError where `migrate` would refuse."""
    migrations = read_folder(folder or default_folder())
    return [migration.name for migration in await _missing(conn, migrations)]


async def refuse_newer(dsn: str) -> None:
    """Raises MigrationError where a later program has migrated the database, or this one's files were edited; what is pending is no reason."""
    conn = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S)
    try:
        await pending(conn)
    finally:
        await conn.close()


async def _migrate(conn: asyncpg.Connection, migrations: Sequence[Migration], lock_wait_s: float) -> list[str]:
    if conn.is_in_transaction():
        raise MigrationError("Migrations need a connection that is not in a transaction.")
    async with _exclusive(conn, lock_wait_s):
        await conn.execute(MAKE_TABLE)
        missing = await _missing(conn, migrations)
        for migration in missing:
            await _apply(conn, migration)
    return [migration.name for migration in missing]


@asynccontextmanager
async def _exclusive(conn: asyncpg.Connection, lock_wait_s: float) -> AsyncIterator[None]:
    # Polled: a blocked pg_advisory_lock() holds a snapshot, which a CREATE INDEX CONCURRENTLY of the process that owns
    # the lock waits for: a deadlock, and an invalid index.
    deadline = time.monotonic() + lock_wait_s
    while not await session_lock.try_lock(conn, LOCK):
        if time.monotonic() > deadline:
            raise MigrationError(f"Another process has been migrating this database for {lock_wait_s:.0f} s.")
        await asyncio.sleep(LOCK_POLL_S)
    try:
        yield
    finally:
        if not conn.is_closed():
            await session_lock.unlock(conn, LOCK)


async def _missing(conn: asyncpg.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    done: dict[str, bytes] = dict(await conn.fetch(APPLIED)) if await conn.fetchval(HAS_TABLE) else {}
    unknown = sorted(done.keys() - {migration.name for migration in migrations})
    if unknown:
        raise MigrationError(f"The database is newer than the program: it has {', '.join(unknown)}.")
    last = max(done, default="")
    for migration in migrations:
        if migration.name in done and done[migration.name] != migration.checksum:
            raise MigrationError(
                f"{migration.name} was edited after it had been applied: write a new migration instead."
            )
        if migration.name not in done and migration.name < last:
            raise MigrationError(
                f"{migration.name} comes before {last}, which is already applied: give it a higher number."
            )
    return [migration for migration in migrations if migration.name not in done]


async def _apply(conn: asyncpg.Connection, migration: Migration) -> None:
    try:
        if migration.in_transaction:
            async with conn.transaction():
                await conn.execute(BOUND_WAITS)
                await conn.execute(migration.sql)
                await conn.execute(RECORD, migration.name, migration.checksum)
        else:
            await _apply_alone(conn, migration)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name} failed: {error}") from error


async def _apply_alone(conn: asyncpg.Connection, migration: Migration) -> None:
    # As a prepared statement the server itself refuses a second command, which would run in one transaction with the first.
    await conn.fetch(migration.sql)
    invalid = [row[0] for row in await conn.fetch(INVALID_INDEXES)]
    if invalid:
        raise MigrationError(f"{migration.name} leaves invalid indexes: drop {', '.join(invalid)} and run it again.")
    await conn.execute(RECORD, migration.name, migration.checksum)
