"""The role of the background worker."""

import asyncio
import signal

import uvloop

from service import garbage
from service.planning.fcm_channel import fcm_channel
from service.settings import Settings
from service.worker import Worker


def run(settings: Settings, dsn: str) -> None:
    """Works until told to stop; then nothing new is claimed, and what is on its way is settled."""
    channel = fcm_channel(settings)
    garbage.begin()

    async def work() -> None:
        worker = Worker(settings, dsn, channel)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()

    uvloop.run(work())
