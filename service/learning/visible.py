"""Waiting until what was told has been learned from, so that the next decision knows it; never for long."""

import asyncio
from typing import Any, Final

from service.store import partitions

PAUSES_S: Final = (0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
"""A learner that is awake and has little to do needs about ten milliseconds."""

BEHIND_MAX: Final = 64
"""A learner that is further behind than so many batches, or does not run, is not waited for."""


async def until_counted(pool: Any, partition: int, seq: int) -> bool:
    """Whether the learner has counted the log of the partition through seq; gives up after a quarter of a second.

    No connection is held while waiting.
    """
    for pause_s in PAUSES_S:
        await asyncio.sleep(pause_s)
        async with pool.acquire() as connection:
            counted = await partitions.counted_through(connection, partition)
        if counted >= seq or counted < seq - BEHIND_MAX:
            return counted >= seq
    return False
