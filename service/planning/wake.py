"""What an event has planned wakes the draw, so that it need not wait for the next look."""

import asyncio
from typing import Final

import asyncpg

from push import triggered
from push.clock import pause

LOOK_S: Final = 1.0
"""How often it is seen that the connection is gone; what is not heard meanwhile is found by the draw's own looks."""


async def hear(dsn: str, planned: asyncio.Event, stop: asyncio.Event) -> None:
    """Sets `planned` whenever it is told that rows are, until stopped or cut off."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.add_listener(triggered.CHANNEL, lambda *_: planned.set())
        while not connection.is_closed() and not stop.is_set():
            await pause(LOOK_S, stop)
    finally:
        connection.terminate()
