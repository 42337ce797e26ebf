"""`welltimed snapshots`: by which snapshot decisions are made."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from service import cli_database

Work = Callable[[Any, datetime, str], Awaitable[Any]]
_AS_JSON = click.option("--json", "as_json", is_flag=True)
_REASON = click.option("--reason", default="", help="Why; it is recorded.")


@click.group()
def snapshots() -> None:
    """What was learned, version by version, and which one decisions use."""


@snapshots.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@_AS_JSON
def show_snapshots(*, limit: int, as_json: bool) -> None:
    """The newest snapshots, and which one decisions use."""
    from service.policies import tables  # noqa: PLC0415 - as above
    from service.store import snapshot_pins  # noqa: PLC0415 - as above

    _do(lambda connection, _now, _by: snapshot_pins.overview(connection, limit), tables.snapshots, as_json=as_json)


@snapshots.command()
@click.argument("version", type=click.IntRange(1))
@_REASON
@_AS_JSON
def pin(*, version: int, reason: str, as_json: bool) -> None:
    """Hold decisions to a snapshot; the learner goes on counting and publishing."""
    from service.policies import pinning, tables  # noqa: PLC0415 - as above

    _do(
        lambda connection, now, by: pinning.pin(connection, version, reason, now, by),
        tables.snapshots,
        as_json=as_json,
    )


@snapshots.command()
@_REASON
@_AS_JSON
def unpin(*, reason: str, as_json: bool) -> None:
    """Let decisions use the newest snapshot again."""
    from service.policies import pinning, tables  # noqa: PLC0415 - as above

    _do(lambda connection, now, by: pinning.unpin(connection, reason, now, by), tables.snapshots, as_json=as_json)


def _do(work: Work, told: Callable[[Any], str], *, as_json: bool) -> None:
    """Does it in the database, and prints what came; what is refused is told in words, with exit code 1."""
    from service.errors import ApiError  # noqa: PLC0415 - as above
    from service.store import administration  # noqa: PLC0415 - as above

    by = administration.operator()

    def on_database(dsn: str) -> None:
        made = asyncio.run(
            administration.on_connection(dsn, lambda connection: work(connection, datetime.now(UTC), by))
        )
        click.echo(msgspec.json.encode(made).decode() if as_json else told(made))

    try:
        cli_database.with_database(on_database)
    except ApiError as error:
        reasons = [f"\n  - {one.detail}" for one in error.errors if one.detail != error.detail]
        _fail(error.detail + "".join(reasons))


def _fail(words: str) -> Any:
    click.echo(f"welltimed: {words}", err=True)
    sys.exit(1)
