"""`welltimed`: the command line. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong settings."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from push.channel import AddressKind
from schema.access import Scope
from service import cli_bench, cli_policies, cli_sending
from service import settings as settings_of
from service.cli_database import in_words, load_settings, with_database
from service.settings import Settings, SettingsError

_ROLES = {
    "api": "service.api_role",
    "worker": "service.worker_role",
    "drawer": "service.drawer_role",
    "stand-in": "service.stand_in_role",
}
_SCOPES = get_args(Scope)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="welltimed")
def main() -> None:
    """Decides for each person which deal to offer, at what moment, or nothing at all."""


main.add_command(cli_bench.bench)
main.add_command(cli_policies.policies)
main.add_command(cli_policies.snapshots)
main.add_command(cli_sending.sending)


@main.command()
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
    from service import child, telemetry  # noqa: PLC0415 - a help text needs none of this

    settings = load_settings(**overrides)
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
        with in_words():
            whole.run()
    except supervisor.NotReadyError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(1)


def _play(role: str, settings: Settings) -> None:
    if settings.database_url is None:
        click.echo("welltimed: WELLTIMED_DATABASE_URL must be set when a role runs alone", err=True)
        sys.exit(3)
    # Each process loads only what its role needs.
    module = import_module(_ROLES[role])
    try:
        module.run(settings, settings.database_url.reveal())
    except SettingsError as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(3)


@main.command()
def migrate() -> None:
    """Bring the database up to date; two at once are safe."""
    from service.store import migrate as migrations  # noqa: PLC0415 - only here

    def work(dsn: str) -> None:
        applied = asyncio.run(migrations.migrate(dsn))
        click.echo("\n".join(f"applied {name}" for name in applied) or "up to date")

    with_database(work, makes_one=True)


@main.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_SCOPES),
    help="Repeat for several; without one a publishable key is made.",
)
@click.option("--json", "as_json", is_flag=True)
def create_key(*, scopes: tuple[Scope, ...], as_json: bool) -> None:
    """Make a key and show its secret, once."""
    from service.store import administration  # noqa: PLC0415 - only here

    def work(dsn: str) -> None:
        key, secret = asyncio.run(administration.create_key(dsn, scopes))
        shown = {"key_id": str(key.key_id), "kind": key.kind, "scopes": list(key.scopes), "secret": secret}
        click.echo(json.dumps(shown) if as_json else secret)

    with_database(work)


@main.group()
def offers() -> None:
    """The offers."""


@offers.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option("--json", "as_json", is_flag=True)
def import_offers(*, file: Path, dry_run: bool, as_json: bool) -> None:
    """Create or replace offers from a CSV file (docs/offers-csv.md); with any error nothing is written."""
    from service.ingest import offers_import  # noqa: PLC0415 - only here
    from service.store import administration  # noqa: PLC0415 - only here

    def work(dsn: str) -> None:
        report = asyncio.run(
            administration.on_connection(
                dsn,
                lambda connection: offers_import.import_offers(
                    connection, file.read_bytes(), dry_run=dry_run, now=datetime.now(UTC)
                ),
            )
        )
        click.echo(msgspec.json.encode(report).decode() if as_json else _told(file, report))
        if report.errors_found:
            sys.exit(1)

    with_database(work)


def _told(file: Path, report: Any) -> str:
    lines = [f"{file}:{note.line}: {note.column}: {note.detail}" for note in (*report.errors, *report.warnings)]
    counts = f"{report.rows} offers: {report.new} new, {report.changed} changed, {report.unchanged} unchanged"
    if report.errors_found:
        counts = f"{report.errors_found} errors; nothing was written"
    elif report.dry_run:
        counts += " (dry run, nothing was written)"
    return "\n".join([*lines, counts])


@main.group()
def push() -> None:
    """Push messages."""


@push.command("test")
@click.option("--token", "address", required=True, help="Of the app on your phone.")
@click.option("--fid", "kind", flag_value="fid", help="The address is a Firebase installation id.")
@click.option("--title", default="welltimed", show_default=True)
@click.option("--body", default="Push messages reach this phone.", show_default=True)
@click.option("--json", "as_json", is_flag=True)
def push_test(*, as_json: bool, kind: AddressKind | None, **message: str) -> None:
    """Send a real message to your own phone by the configured Firebase project, and say what came of it."""
    from service.planning import fcm_channel, own_phone  # noqa: PLC0415 - only here

    try:
        channel = fcm_channel.fcm_channel(load_settings())
    except (SettingsError, ValueError) as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(3)
    told = own_phone.described(asyncio.run(own_phone.send_one(channel, kind=kind or "token", **message)))
    click.echo(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))
    sys.exit(0 if told["outcome"] == "accepted" else 1)


@main.command()
@click.option("--json", "as_json", is_flag=True)
def doctor(*, as_json: bool) -> None:
    """Print all settings, secrets masked."""
    described = settings_of.describe(load_settings())
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        click.echo(f"{name}={value}")


@main.command()
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--target",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="npz with action_dist, the probabilities of the policy asked about.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of folds and resamples.")
@click.option("--weight-max", type=click.FloatRange(0, min_open=True), help="The largest weight possible, if known.")
@click.option("--reward-range", type=(float, float), help="Least and greatest reward possible, if known.")
@click.option("--json", "as_json", is_flag=True)
def evaluate(*, log: Path, target: Path, as_json: bool, **known: Any) -> None:
    """What another policy would have earned on a logged bandit (docs/evaluation.md), and whether to believe it."""
    from service import evaluate as evaluation  # noqa: PLC0415 - only here

    try:
        result = evaluation.evaluate(log, target, evaluation.Options(**known))
    except (ValueError, OSError) as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps(result) if as_json else evaluation.table(result))


@main.command()
@click.argument("data")
@click.option("--policy", default="default", show_default=True, help="A wrong name is answered with the list.")
@click.option("--seeds", type=click.IntRange(1, 1_000), default=1, show_default=True, help="How many runs.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--categories", default="41-90", show_default=True, help="Of the journey: ranks by household-weeks.")
@click.option("--rounds", type=click.IntRange(1), help="Only the first of a file; the journey has 10,000 by default.")
@click.option("--delay-rounds", type=click.IntRange(0), default=0, help="Rewards come so many rounds late.")
@click.option("--snapshot-every", type=click.IntRange(1), default=1, help="So many rounds share a posterior.")
@click.option("--json", "as_json", is_flag=True)
def replay(*, data: str, categories: str, rounds: int | None, as_json: bool, **asked: Any) -> None:
    """Play a policy on rounds of which every reward is known (docs/replay.md).

    DATA is an npz file with phi, reward and perhaps eligible, or the word `journey`: rounds made of a year of real purchases.
    """
    from service.replay import options, runs  # noqa: PLC0415 - only here
    from service.replay import replay as replays  # noqa: PLC0415 - as above

    try:
        result = replays.replay(data, categories, rounds, options.Options(**asked))
    except (ValueError, OSError) as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps(result) if as_json else runs.table(result))


@main.command()
@click.argument("world")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Worlds that are played, one a seed."
)
@click.option(
    "--scale", type=click.FloatRange(0.2, 10), default=1.0, show_default=True, help="Share of a world's people."
)
@click.option(
    "--no-personal-layer", "has_personal_layer", is_flag=True, default=True, flag_value=False, help="For comparison."
)
@click.option("--json", "as_json", is_flag=True)
def simulate(*, world: str, as_json: bool, **asked: Any) -> None:
    """Let the engine live in a WORLD whose truth is known (docs/simulation.md): what it claims, and regret by decile of the people."""
    from service import simulate as simulation  # noqa: PLC0415 - only here

    if world not in simulation.NAMES:
        raise click.BadParameter(f"no such world; there are {', '.join(simulation.NAMES)}", param_hint="WORLD")
    result = simulation.simulate(world, simulation.Options(**asked))
    click.echo(json.dumps(result) if as_json else simulation.table(result))


@main.command()
@click.option("--households", type=int, default=500, show_default=True, help="1 to 2469.")
@click.option(
    "--weeks", type=int, default=20, show_default=True, help="Weeks of decisions, 1 to 42, after ten of history."
)
@click.option("--salt", default="0", show_default=True, help="Chooses the households and seeds everything.")
@click.option("--headless", is_flag=True, help="End when done; no report page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def demo(*, households: int, weeks: int, salt: str, headless: bool, as_json: bool) -> None:
    """The whole loop on a year of real grocery data."""
    from service.demo import run  # noqa: PLC0415 - its data frames are for nobody else

    sys.exit(run.demo(run.Options(households, weeks, salt, is_headless=headless, is_json=as_json)))


if __name__ == "__main__":
    main()
