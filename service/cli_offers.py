"""`welltimed offers`: the offers, from a file of this machine."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from service.cli_database import with_database


@click.group()
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
