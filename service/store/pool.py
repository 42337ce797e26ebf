"""Connections to PostgreSQL: one pool a process, JSON by msgspec, time in UTC."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import msgspec

from service.store.fair_pool import FairPool

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()
_JSONB_VERSION = b"\x01"

LOST: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that asyncpg raises when the server refuses or goes away; the internal one when its farewell comes between two statements."""


CONNECT_S: Final = 5.0
"""Of a server on this machine or beside it; longer waits only who is swallowed by the network."""

PATIENCE_S: Final = 15.0
"""A process that starts meanwhile need not be started again; longer it must not be deaf to being told to stop."""

AGAIN_S: Final = 0.2

STATEMENT_S: Final = 30.0
"""A statement that takes longer is cancelled, and its transaction undone."""
LOCK_S: Final = 10.0
"""Who waits longer for a lock gives up: behind a statement that hangs the others would all hang."""

STATEMENTS_MAX: Final = 50_000
"""A session that has run so many is replaced: PostgreSQL's grow with every day's tables that they have planned for. An answer waits for that now and then."""
STATEMENTS_MAX_IN_BACKGROUND: Final = 10_000
"""Where nobody waits, and where statements read the most."""

IDLE_S: Final = 300.0
"""A connection that nobody used for so long is closed."""

NOTICED: Final = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
}
"""The server notices within eleven seconds that a client has vanished from the network, and lets go of its locks."""


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


async def until_reached(dsn: str) -> None:
    """Returns when the server takes connections. Raises LOST after PATIENCE_S: a process that starts waits rather than ends."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=CONNECT_S)
        except LOST:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(AGAIN_S)
        else:
            await connection.close()
            return


async def _nobody_is_told(_connection: Any) -> None:
    pass


async def open_pool(
    dsn: str,
    size_max: int,
    *,
    waits_for_disk: bool = True,
    plans_once: bool = False,
    statements_max: int = STATEMENTS_MAX,
    looks_up: bool = False,
    joined: Callable[[Any], Awaitable[None]] = _nobody_is_told,
) -> asyncpg.Pool:
    """Opens a pool of at most `size_max` connections; one that does not wait for the disk is for work that is done again after a crash.

    `joined` is told of each new connection, of which there is one for every `statements_max` statements.

    One that `looks_up` wants few rows of each table, and never plans to read one whole where it has an index: a table that grows fast has the
    statistics of a smaller one.

    One that plans each statement once is for a virtual world, whose hours bring a handful of rows: to plan for just these takes
    longer than to read them.
    """

    async def init(connection: Any) -> None:
        await joined(connection)
        await prepare(connection)

    return await FairPool(
        dsn,
        min_size=1,
        max_size=size_max,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        loop=None,
        max_inactive_connection_lifetime=IDLE_S,
        init=init,
        reset=_leave,
        timeout=CONNECT_S,
        command_timeout=STATEMENT_S,
        max_queries=statements_max,
        server_settings={
            "application_name": "welltimed",
            "timezone": "UTC",
            "lock_timeout": f"{round(LOCK_S * 1000)}ms",
            **NOTICED,
            "synchronous_commit": "on" if waits_for_disk else "off",
            "plan_cache_mode": "force_generic_plan" if plans_once else "auto",
            "enable_seqscan": "off" if looks_up else "on",
            "jit": "off",  # a statement that must read a table whole would count as dear, and be compiled
        },
    )
