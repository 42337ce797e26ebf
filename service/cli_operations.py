"""`welltimed migrate`, `doctor`, `backup`, `restore`: what keeps an installation going (docs/operations.md)."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from service import settings as settings_of
from service.cli_database import fail, in_words, load_settings, with_database

_AS_JSON = click.option("--json", "as_json", is_flag=True)
_ELSEWHERE = (
    "WELLTIMED_DATABASE_URL names a database that is not ours: back it up with its own tools (pg_basebackup with archived WAL, or the "
    "provider's), and after a restore run `welltimed restore --restored` before anything is served (docs/operations.md)"
)


@click.command()
def migrate() -> None:
    """Bring the database up to date; two at once are safe."""
    from service.store import migrate as migrations  # noqa: PLC0415 - only here

    def work(dsn: str) -> None:
        applied = asyncio.run(migrations.migrate(dsn))
        click.echo("\n".join(f"applied {name}" for name in applied) or "up to date")

    with_database(work, makes_one=True)


@click.command()
@_AS_JSON
def doctor(*, as_json: bool) -> None:
    """Print all settings, secrets masked, and look at everything that should be well. Exit code 1 where something is not."""
    from service.doctor import examination, finding  # noqa: PLC0415 - a help text needs none of this

    settings = load_settings()
    described = settings_of.describe(settings)
    found = examination.examine(settings)
    is_healthy = finding.is_healthy(found)
    if as_json:
        click.echo(json.dumps(described | {"healthy": is_healthy, "checks": msgspec.to_builtins(found)}, indent=2))
    else:
        lines = [f"{name}={value}" for name, value in described.items()]
        click.echo("\n".join([*lines, "", *(_line(one) for one in found)]))
    sys.exit(0 if is_healthy else 1)


def _line(found: Any) -> str:
    advice = f"\n{'':7}→ {found.advice}" if found.level != "ok" else ""
    return f"{found.level:5}  {found.group}, {found.name}: {found.says}{advice}"


@click.command()
@click.option("--to", required=True, type=click.Path(path_type=Path), help="A directory that does not exist yet.")
@_AS_JSON
def backup(*, to: Path, as_json: bool) -> None:
    """Copy the embedded database, also while it serves, and check the copy."""
    from service.operations import backup as backups  # noqa: PLC0415 - only here
    from service.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - as above

    settings = load_settings()
    if settings.database_url is not None:
        fail(_ELSEWHERE)
    root = settings.data_dir / "postgres"
    if not root.exists():
        fail(f"{settings.data_dir} holds no database")

    def work() -> backups.Description:
        with EmbeddedPostgres(root, bin_dir=settings.postgres_bin_dir) as server:
            return backups.take(server, root, to, settings.postgres_bin_dir)

    made = _done(work)
    said = f"{to}: {made.size_bytes / 2**20:.0f} MiB as of {made.begun_at:%Y-%m-%d %H:%M:%S} UTC, checked"
    click.echo(msgspec.json.encode(made).decode() if as_json else said)


@click.command()
@click.option("--from", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Of a backup.")
@click.option("--restored", "is_restored", is_flag=True, help="WELLTIMED_DATABASE_URL was restored by its own tools.")
@_AS_JSON
def restore(*, folder: Path | None, is_restored: bool, as_json: bool) -> None:
    """Make a backup the database again, with sending stopped; no database is ever overwritten."""
    from service.operations import restore as restores  # noqa: PLC0415 - only here

    settings = load_settings()
    if (folder is None) != is_restored:
        raise click.UsageError(
            "Name a backup (--from), or say that the database was restored by other means (--restored)."
        )
    if is_restored:
        if settings.database_url is None:
            raise click.UsageError("--restored needs WELLTIMED_DATABASE_URL.")
        dsn = settings.database_url.reveal()
        made = _done(lambda: restores.settle(dsn, "restored"))
    elif settings.database_url is not None:
        fail(_ELSEWHERE)
    else:
        backup_of: Any = folder
        made = _done(lambda: restores.restore(backup_of, settings.data_dir / "postgres", settings.postgres_bin_dir))
    click.echo(msgspec.json.encode(made).decode() if as_json else _told(made))


def _done(work: Callable[[], Any]) -> Any:
    from service.operations.backup import BackupError  # noqa: PLC0415 - as above

    try:
        with in_words():
            return work()
    except BackupError as error:
        return fail(str(error))


def _told(made: Any) -> str:
    settled = made.settled
    lines = [
        f"restored, snapshot {made.fingerprint.snapshot_version}, posterior {made.fingerprint.posterior_sha256}",
        f"{settled.withdrawn} planned pushes withdrawn; {settled.unknown} pushes and {settled.deliveries_unknown} deliveries perhaps sent",
        *(f"passed over: {one.campaign_id}, occurrence of {one.occurrence_at}" for one in settled.passed_over),
        "sending is stopped: read docs/operations.md, then `welltimed sending resume --reason …`",
    ]
    return "\n".join(lines)
