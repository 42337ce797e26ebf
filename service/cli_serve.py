"""`welltimed serve`: the whole installation on one machine, or one role of it."""

import asyncio
import contextlib
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from service.cli_database import in_words, load_settings
from service.settings import Settings, SettingsError

_ROLES: Final = {
    "api": "service.api_role",
    "worker": "service.worker_role",
    "drawer": "service.drawer_role",
    "stand-in": "service.stand_in_role",
}


@click.command()
@click.option("--role", type=click.Choice(["all", *_ROLES]), default="all", show_default=True)
@click.option("--host")
@click.option("--port", type=int, help="0 takes any free port.")
@click.option("--workers", type=int, help="API worker processes.")
@click.option("--data-dir", type=click.Path(path_type=Path))
@click.option("--seed", help="Goes into the random bits of planning.")
@click.option(
    "--virtual-clock",
    "is_virtual_clock",
    is_flag=True,
    default=None,
    help="Time is told by POST /v1/clock (demo and tests only).",
)
@click.option("--until-stdin-closes", is_flag=True, help="End when standard input closes.")
def serve(*, role: str, until_stdin_closes: bool, **overrides: Any) -> None:
    """Serve; alone on a machine, or one role of it."""
    from service import child, logs  # noqa: PLC0415 - a help text needs none of this

    settings = load_settings(**overrides)
    logs.configure(settings.log_level)
    if until_stdin_closes:
        child.end_with_parent()
    if role == "all":
        _supervise(settings)
    else:
        _play(role, settings)


def _supervise(settings: Settings) -> None:
    from service import supervisor  # noqa: PLC0415 - only when it is served

    whole = supervisor.Supervisor(settings)
    supervisor.stop_on_signals(whole)
    try:
        with in_words():
            whole.run()
    except supervisor.NotReadyError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(1)
    except SettingsError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(3)


def _play(role: str, settings: Settings) -> None:
    if settings.database_url is None:
        click.echo("welltimed: WELLTIMED_DATABASE_URL must be set when a role runs alone", err=True)
        sys.exit(3)
    dsn = settings.database_url.reveal()
    if role != "stand-in":
        _refuse_newer(dsn)
    # Each process loads only what its role needs.
    module = import_module(_ROLES[role])
    try:
        module.run(settings, dsn)
    except SettingsError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(3)


def _refuse_newer(dsn: str) -> None:
    """What the next release has made of the tables, this one would write to wrongly. Whether PostgreSQL answers is the role's own affair."""
    from service.store import migrate, pool  # noqa: PLC0415 - a help text needs none of this

    with in_words(), contextlib.suppress(*pool.LOST, TimeoutError):
        asyncio.run(migrate.refuse_newer(dsn))
