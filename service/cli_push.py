"""`welltimed push`: does a message reach a real phone?"""

import asyncio
import json
import sys

import click

from push.channel import AddressKind
from service.cli_database import load_settings
from service.settings import SettingsError


@click.group()
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
