"""`welltimed`: the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong settings."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from service import settings as settings_of
from service.settings import Settings, SettingsError

_ROLES = ("all", "api", "worker", "stand-in")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="welltimed")
def main() -> None:
    """Decides for each person which deal to offer, at what moment, or nothing at all."""


def _settings(**overrides: Any) -> Settings:
    try:
        return settings_of.load(**overrides)
    except SettingsError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(3)


@main.command()
@click.option("--role", type=click.Choice(_ROLES), default="all", show_default=True)
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
    from service import child, telemetry  # noqa: PLC0415 - a help text needs none of this

    settings = _settings(**overrides)
    telemetry.configure(settings.log_level)
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
        whole.run()
    except supervisor.NotReadyError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(1)


def _play(role: str, settings: Settings) -> None:
    from service import serving  # noqa: PLC0415 - only when it is served

    if settings.database_url is None:
        click.echo("welltimed: WELLTIMED_DATABASE_URL must be set when a role runs alone", err=True)
        sys.exit(3)
    play = {"api": serving.serve_api, "worker": serving.work, "stand-in": serving.serve_stand_in}[role]
    try:
        play(settings, settings.database_url.reveal())
    except SettingsError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(3)


@main.command()
@click.option("--json", "as_json", is_flag=True)
def doctor(*, as_json: bool) -> None:
    """Print all settings, secrets masked."""
    described = settings_of.describe(_settings())
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        click.echo(f"{name}={value}")


if __name__ == "__main__":
    main()
