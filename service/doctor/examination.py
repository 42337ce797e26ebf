"""`welltimed doctor`: looks at the machine, then at the database; a check that goes wrong is a finding, and the others go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from service.doctor import audit, credentials, learning, machine, migrations, sending, server, upkeep
from service.doctor.finding import Finding, Group
from service.settings import Settings
from service.store import migrate, pool, virtual_clock
from service.store.embedded import EmbeddedPostgres
from service.store.unavailable import PostgresUnavailable

CONNECT_TIMEOUT_S: Final = 5.0
CHECK_TIMEOUT_S: Final = 20.0

OF_MACHINE: Final[Sequence[Callable[[Settings], list[Finding]]]] = (machine.look, credentials.look)
"""Ask nothing of the database."""

OF_DATABASE: Final[Sequence[Callable[[Any, datetime], Awaitable[list[Finding]]]]] = (
    server.look,
    migrations.look,
    upkeep.look,
    learning.look,
    sending.look,
    audit.look,
)
"""Each gets a connection and the installation's present. A new group is a file of its own and a line here."""

_GROUP: Final = Group("database")


def examine(settings: Settings) -> list[Finding]:
    """All findings, in order. The embedded PostgreSQL is started for the look if it does not run, and nothing is made or changed."""
    found = [finding for look in OF_MACHINE for finding in _guarded(look, settings)]
    with _database(settings) as reached:
        if isinstance(reached, Finding):
            return [*found, reached]
        return [*found, *asyncio.run(_look(reached))]


@contextmanager
def _database(settings: Settings) -> Iterator[str | Finding]:
    if settings.database_url is not None:
        yield settings.database_url.reveal()
        return
    root = settings.data_dir / "postgres"
    if not root.exists():
        yield _GROUP.warn("reachable", f"{root} holds no database yet", "`welltimed serve` makes one")
        return
    postgres = EmbeddedPostgres(root, bin_dir=settings.postgres_bin_dir)
    try:
        postgres.start()
    except PostgresUnavailable as error:
        yield _GROUP.fail("reachable", str(error), "see server.log in its directory")
        return
    with postgres:
        yield postgres.dsn()


def _guarded(look: Callable[[Settings], list[Finding]], settings: Settings) -> list[Finding]:
    try:
        return look(settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks go on
        return [_not_looked_at(look, error)]


async def _look(dsn: str) -> list[Finding]:
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=CHECK_TIMEOUT_S)
    except ValueError as error:  # its words may quote what was taken for a port: a piece of the password
        return [
            _GROUP.fail(
                "reachable", type(error).__name__, "WELLTIMED_DATABASE_URL cannot be read; quote special characters"
            )
        ]
    except (*pool.LOST, TimeoutError) as error:
        says = f"{type(error).__name__}: {error}"
        return [_GROUP.fail("reachable", says, "is it running, and WELLTIMED_DATABASE_URL right?")]
    try:
        await pool.prepare(connection)
        return [_GROUP.ok("reachable", "it answers"), *await _all(connection)]
    finally:
        await connection.close()


async def _all(connection: Any) -> list[Finding]:
    found: list[Finding] = []
    now = await _present(connection)
    for look in OF_DATABASE:
        try:
            found += await look(connection, now)
        except Exception as error:  # noqa: BLE001 - as above
            found.append(_not_looked_at(look, error))
    return found


async def _present(connection: Any) -> datetime:
    """A database that was never migrated has no clock of its own."""
    virtual = await virtual_clock.read(connection) if await connection.fetchval(migrate.HAS_TABLE) else None
    return datetime.now(UTC) if virtual is None else virtual.now_at


def _not_looked_at(look: Callable[..., object], error: Exception) -> Finding:
    name = look.__module__.rpartition(".")[2]
    return Group(name).fail("look", f"{type(error).__name__}: {error}", "the database may lack migrations, or rights")
