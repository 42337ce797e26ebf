"""A background process: it works until SIGTERM or SIGINT, and then ends in order."""

import asyncio
import signal
from typing import Protocol

import uvloop

from service import garbage


class Work(Protocol):
    """What a role does."""

    async def run(self) -> None:
        """Until it is told to stop."""
        ...

    def stop(self) -> None:
        """Nothing new is begun; `run` returns when what is under way is settled."""
        ...


def run_until_told(work: Work) -> None:
    """Runs it on a loop of its own."""
    garbage.keep_large_apart()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.stop)
        await work.run()

    uvloop.run(run())
