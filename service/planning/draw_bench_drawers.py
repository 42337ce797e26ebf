"""The drawers of the draw's benchmark: one in its own process, as the worker has it, and one beside it, as `service/drawer.py` is.

The other is `python -m service.planning.draw_bench_drawers DSN`; it says "ready", begins when a line comes in, and says how many rows it drew.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvloop

from push.clock import standing
from push.drawing.due import DueDrawer
from service import garbage
from service.decision import policy
from service.planning.draw_bench_world import NOW
from service.planning.push_decider import PipelineDecider
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool

POOL_MAX: Final = 4
_SEED: Final = b"bench"


async def drawer(pool: Any) -> DueDrawer:
    """As a process of the product composes it."""
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    garbage.begin()
    garbage.keep_large_apart()
    return DueDrawer(pool, PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, policy.BUILT_IN)), _SEED)


@asynccontextmanager
async def another(dsn: str) -> AsyncIterator[Process]:
    """A process that is ready to draw; it is ended with the context.

    Raises:
        RuntimeError: it did not get that far.
    """
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, dsn, stdin=PIPE, stdout=PIPE)
    try:
        if await _line(process) != b"ready\n":
            raise RuntimeError("a process that draws did not begin")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def draws(process: Process) -> int:
    """Lets it draw all it can get; the number of rows.

    Raises:
        RuntimeError: it has failed.
    """
    if process.stdin is None:
        raise RuntimeError("a process without an input")
    process.stdin.write(b"go\n")
    told = await _line(process)
    if not told:
        raise RuntimeError("a process that draws has failed")
    return int(told)


async def _line(process: Process) -> bytes:
    return b"" if process.stdout is None else await process.stdout.readline()


async def _main(dsn: str) -> None:
    async with await open_pool(dsn, POOL_MAX, waits_for_disk=False) as pool:
        mine = await drawer(pool)
        _say("ready")
        sys.stdin.readline()
        _say(str(await mine.draw_due(standing(NOW))))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
