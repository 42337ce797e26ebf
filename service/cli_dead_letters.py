"""`welltimed dead-letters`: events that could not be counted, and their replay after a fix (docs/faults.md)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import click
import msgspec

from service.cli_database import do

_AS_JSON = click.option("--json", "as_json", is_flag=True)


class _Replayed(msgspec.Struct, frozen=True):
    replayed: int


@click.group("dead-letters")
def dead_letters() -> None:
    """Events that could not be counted."""


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@_AS_JSON
def show(*, limit: int, as_json: bool) -> None:
    """Show them, with the reason; the first to fail first."""
    from service.store import dead_letters as letters  # noqa: PLC0415 - a help text needs none of this

    def told(found: list[letters.Shown]) -> str:
        rows = [f"{one.event_id}  {one.failed_at:%F %T}  {one.type:<16} {one.user_id}  {one.reason}" for one in found]
        return "\n".join(rows) or "none"

    do(lambda connection, _now, _by: letters.read(connection, limit), told, as_json=as_json)


@dead_letters.command()
@click.argument("event_ids", nargs=-1, type=click.UUID)
@click.option("--all", "is_all", is_flag=True, help="Whatever lies there.")
@_AS_JSON
def replay(*, event_ids: tuple[UUID, ...], is_all: bool, as_json: bool) -> None:
    """Give them to the learner again; one that fails again comes back."""
    from service.store import dead_letters as letters  # noqa: PLC0415 - a help text needs none of this

    if is_all == bool(event_ids):
        raise click.UsageError("Name EVENT_IDS, or say --all.")

    async def work(connection: Any, now: datetime, _by: str) -> _Replayed:
        return _Replayed(await letters.replay(connection, None if is_all else list(event_ids), now))

    do(work, lambda made: f"replayed {made.replayed}", as_json=as_json)
