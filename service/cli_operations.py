"""`welltimed migrate` and `doctor`: what keeps an installation going (docs/operations.md)."""

import asyncio
import json

import click

from service import settings as settings_of
from service.cli_database import load_settings, with_database


@click.command()
def migrate() -> None:
    """Bring the database up to date; two at once are safe."""
    from service.store import migrate as migrations  # noqa: PLC0415 - only here

    def work(dsn: str) -> None:
        applied = asyncio.run(migrations.migrate(dsn))
        click.echo("\n".join(f"applied {name}" for name in applied) or "up to date")

    with_database(work, makes_one=True)


@click.command()
@click.option("--json", "as_json", is_flag=True)
def doctor(*, as_json: bool) -> None:
    """Print all settings, secrets masked."""
    described = settings_of.describe(load_settings())
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        click.echo(f"{name}={value}")
