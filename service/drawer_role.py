"""The role of a process that helps to draw a backlog."""

import asyncio
import signal

import uvloop

from service import garbage
from service.drawer import Drawer
from service.settings import Settings


def run(settings: Settings, dsn: str) -> None:
    """Draws until told to stop; then no further batch is begun."""
    garbage.begin()

    async def work() -> None:
        drawer = Drawer(settings, dsn)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, drawer.stop)
        await drawer.run()

    uvloop.run(work())
