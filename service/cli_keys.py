"""`welltimed keys`: API keys, made at the database itself."""

import asyncio
import json
from typing import get_args

import click

from schema.access import Scope
from service.cli_database import with_database

_SCOPES = get_args(Scope)


@click.group()
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
