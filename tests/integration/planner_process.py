"""A planner in a process of its own, to be killed: `python -m … DSN NOW`. It plans small blocks, and takes its time over each."""

import asyncio
import sys
import time
from datetime import datetime
from typing import Any

import numpy as np

from bandits.rhythm import HOURS
from push.planning import plan_pipeline
from push.planning.planner import Planner
from service.store.pool import open_pool
from tests.integration.push_world import SEED
from tests.planning import Shares

BLOCK_PEOPLE = 40
DRAW_S = 0.02


class Slow(Shares):
    """Every hour is as likely."""

    def __init__(self) -> None:
        super().__init__(np.full(HOURS, 1.0 / HOURS))

    def current(self) -> "Slow":
        return self

    def draw(self, *given: Any) -> Any:
        time.sleep(DRAW_S)
        return super().draw(*given)


async def main(dsn: str, now: str) -> None:
    plan_pipeline.BLOCK_PEOPLE = BLOCK_PEOPLE
    async with await open_pool(dsn, 3) as pool:
        await Planner(pool, Slow(), SEED).plan_due(datetime.fromisoformat(now))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
