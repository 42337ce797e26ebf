"""`welltimed sending`: the switch that stops all sending, at the database itself, also while no API answers (docs/campaigns.md)."""

from datetime import datetime
from typing import Any

import click

from service.cli_database import do

_AS_JSON = click.option("--json", "as_json", is_flag=True)
_REASON = click.option("--reason", required=True, help="Why; it is recorded, with who you are.")


@click.group()
def sending() -> None:
    """Everything that leaves, or nothing."""


@sending.command()
@_AS_JSON
def show(*, as_json: bool) -> None:
    """Whether sending is stopped, why, by whom, and how many pushes are on their way."""
    from push import stop  # noqa: PLC0415 - a help text needs none of this

    do(lambda connection, _now, _by: stop.read(connection), _told, as_json=as_json)


@sending.command()
@_REASON
@click.option("--spare-transactional", "is_sparing", is_flag=True, help="Campaigns of that kind go on.")
@_AS_JSON
def stop(*, reason: str, is_sparing: bool, as_json: bool) -> None:
    """Stop all sending on every node: when this returns nothing more is claimed."""
    _switch(as_json=as_json, is_stopped=True, reason=reason, spares_transactional=is_sparing)


@sending.command()
@_REASON
@_AS_JSON
def resume(*, reason: str, as_json: bool) -> None:
    """Let sending go on: what is still alive is sent."""
    _switch(as_json=as_json, is_stopped=False, reason=reason)


def _switch(*, as_json: bool, **given: Any) -> None:
    from push import stop as switch  # noqa: PLC0415 - as above
    from schema.sending import SendingSwitch  # noqa: PLC0415 - as above

    async def work(connection: Any, now: datetime, by: str) -> Any:
        async with connection.transaction():
            await switch.switch(connection, SendingSwitch(**given), now, by)
            return await switch.read(connection)

    do(work, _told, as_json=as_json)


def _told(now: Any) -> str:
    if not now.is_stopped:
        return f"sending goes on; {now.being_sent} on their way"
    spared = ", but for what is transactional" if now.spares_transactional else ""
    since = f"since {now.set_at:%Y-%m-%d %H:%M:%S %Z} by {now.set_by}"
    return f"sending is stopped{spared}, {since}: {now.reason}; {now.being_sent} on their way"
