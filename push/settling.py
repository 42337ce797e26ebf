"""Settling a batch for certain: what a restart of PostgreSQL or a deadlock prevents is tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import structlog

AGAIN_AFTER_S: Final = (0.2, 1.0, 5.0)
"""Together well within the lease: later the rows would be unknown, or another's."""

_LOG: Final = structlog.get_logger(area="settling")


async def surely(pool: Any, rows: int, settle: Callable[[Any], Awaitable[None]]) -> None:
    """Settles so many rows in a transaction of its own; done twice it is done once, by the fence of each row."""
    for wait_s in AGAIN_AFTER_S:
        try:
            async with pool.acquire() as connection, connection.transaction():
                return await settle(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            _LOG.warning("settling is tried again", error=type(error).__name__, rows=rows)
            await asyncio.sleep(wait_s)
    async with pool.acquire() as connection, connection.transaction():
        return await settle(connection)
