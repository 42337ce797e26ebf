"""Waiting until what was told has been learned from, so that the next decision knows it; never for long."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from service.store import partitions

PAUSES_S: Final = (0.004, 0.008, 0.016, 0.032, 0.064, 0.128)
"""A learner that is awake and has little to do needs about ten milliseconds."""

BEHIND_MAX: Final = 64
"""A learner that is further behind than so many batches, or does not run, is not waited for."""

FRESH_S: Final = 0.003
"""What was read so long ago is still told: after a push hundreds wait in one process."""


class Counted:
    """How far the learner has counted, as a process sees it: who waits at the same time shares a look."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._found: Mapping[int, int] = {}
        self._found_at_s = float("-inf")
        self._looking = asyncio.Lock()

    async def until(self, partition: int, seq: int) -> bool:
        """Whether the learner has counted the log of the partition through seq; gives up after a quarter of a second.

        No connection is held while waiting.
        """
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            counted = (await self._look())[partition]
            if counted >= seq or counted < seq - BEHIND_MAX:
                return counted >= seq
        return False

    async def _look(self) -> Mapping[int, int]:
        async with self._looking:
            if monotonic() - self._found_at_s > FRESH_S:
                async with self._pool.acquire() as connection:
                    self._found = await partitions.counted_through(connection)
                self._found_at_s = monotonic()
            return self._found
