"""What an event has planned wakes the draw, so that it need not wait for the next look."""

import asyncio
from typing import Final

import asyncpg

from push import triggered
from push.clock import pause
from service.store.pool import CONNECT_S

LOOK_S: Final = 1.0
"""How often it is seen that the connection is gone; what is not heard meanwhile is found by the draw's own looks."""

_BEAT: Final = "select 1"


async def hear(dsn: str, planned: asyncio.Event, stop: asyncio.Event) -> None:
    """Sets `planned` whenever it is told that rows are, until stopped or cut off."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_S, command_timeout=CONNECT_S)
    try:
        await connection.add_listener(triggered.CHANNEL, lambda *_: planned.set())
        while not connection.is_closed() and not stop.is_set():
            await pause(LOOK_S, stop)
            await connection.execute(_BEAT)  # a silent one would never tell that it is gone
    finally:
        connection.terminate()
