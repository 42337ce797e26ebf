"""What commands of the command line share: the settings, the database they name, and failures told in one line."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from service import settings as settings_of
from service.settings import Settings, SettingsError

Work = Callable[[Any, datetime, str], Awaitable[Any]]
"""What is done with a connection, at the installation's present, by whom."""

_NO_DATABASE: Final = (
    "welltimed: {data_dir} holds no database. Set WELLTIMED_DATA_DIR to the --data-dir of `welltimed serve`, or WELLTIMED_DATABASE_URL; "
    "`welltimed migrate` makes a new one."
)


def load_settings(**overrides: Any) -> Settings:
    """The settings; wrong ones are told and end the program with exit code 3."""
    try:
        return settings_of.load(**overrides)
    except SettingsError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(3)


def with_database(work: Callable[[str], None], *, makes_one: bool = False) -> None:
    """Calls `work` with the address of the database that the settings name, the embedded one started if need be.

    Without `makes_one` an embedded one must be there: a switch thrown in a new and empty one would stop nobody, and say that it did.
    """
    from service.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - only here

    settings = load_settings()
    if settings.database_url is not None:
        with in_words():
            work(settings.database_url.reveal())
        return
    root = settings.data_dir / "postgres"
    if not makes_one and not root.exists():
        click.echo(_NO_DATABASE.format(data_dir=settings.data_dir), err=True)
        sys.exit(3)
    with in_words():
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        with EmbeddedPostgres(root, bin_dir=settings.postgres_bin_dir) as server:
            work(server.dsn())


@contextmanager
def in_words() -> Iterator[None]:
    """What the machine or the database refuses is told in one line, and the exit code is 1."""
    import asyncpg  # noqa: PLC0415 - a help text needs none of this

    from service.store.migrate import MigrationError  # noqa: PLC0415 - as above
    from service.store.unavailable import PostgresUnavailable  # noqa: PLC0415 - as above

    try:
        yield
    except (PostgresUnavailable, MigrationError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        click.echo(f"welltimed: {str(error) or type(error).__name__}", err=True)
        sys.exit(1)


def do(work: Work, told: Callable[[Any], str], *, as_json: bool) -> None:
    """Does it in the database, and prints what came; what is refused is told in words, with exit code 1."""
    from service.errors import ApiError  # noqa: PLC0415 - a help text needs none of this
    from service.store import administration  # noqa: PLC0415 - as above

    by = administration.operator()

    async def on_connection(connection: Any) -> Any:
        return await work(connection, await administration.present(connection), by)

    def on_database(dsn: str) -> None:
        made = asyncio.run(administration.on_connection(dsn, on_connection))
        click.echo(msgspec.json.encode(made).decode() if as_json else told(made))

    try:
        with_database(on_database)
    except ApiError as error:
        reasons = [f"\n  - {one.detail}" for one in error.errors if one.detail != error.detail]
        fail(error.detail + "".join(reasons))


def fail(words: str) -> Any:
    """Tells in words why nothing was done, and ends with exit code 1."""
    click.echo(f"welltimed: {words}", err=True)
    sys.exit(1)
