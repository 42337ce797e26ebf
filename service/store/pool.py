"""Connections to PostgreSQL: one pool a process, JSON by msgspec, time in UTC."""

from typing import Any, Final

import asyncpg
import msgspec

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()
_JSONB_VERSION = b"\x01"

LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that asyncpg raises when the server refuses or goes away; the internal one when its farewell comes between two statements."""


async def prepare(connection: Any) -> None:
    """Teaches one connection to carry jsonb as Python values through msgspec, in PostgreSQL's binary form."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: _JSONB_VERSION + _ENCODER.encode(value),
        decoder=lambda data: _DECODER.decode(data[1:]),
        format="binary",
    )


async def _leave(connection: Any) -> None:
    """By default asyncpg spends a round trip a release on undoing session state, of which we make none."""


async def open_pool(dsn: str, size_max: int, *, waits_for_disk: bool = True, plans_once: bool = False) -> asyncpg.Pool:
    """Opens a pool of at most `size_max` connections; one that does not wait for the disk is for work that is done again after a crash.

    One that plans each statement once is for a virtual world, whose hours bring a handful of rows: to plan for just these takes
    longer than to read them.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size_max,
        init=prepare,
        reset=_leave,
        command_timeout=30,
        server_settings={
            "application_name": "welltimed",
            "timezone": "UTC",
            "lock_timeout": "10s",
            "synchronous_commit": "on" if waits_for_disk else "off",
            "plan_cache_mode": "force_generic_plan" if plans_once else "auto",
        },
    )
