"""A dispatcher in a process of its own that is killed at a point, as by kill -9: `python -m … DSN URL ACCOUNT CA POINT TIMES`.

At the point `never` it goes on until its standard input closes, and sweeps; else the signal comes at the TIMES-th arrival at the point. It
begins when a line comes in. Batches and leases are small, so that there is a lot of each.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from push.channel import Message, Outcome
from push.fcm.channel import FcmChannel
from push.sending import claim as claim_module
from push.sending import dispatcher as dispatcher_module
from push.sending.claim import Claimed
from push.sending.dispatcher import Dispatcher
from service.clock import SystemClock
from service.planning.exposure_journal import EventLogJournal
from service.store.pool import open_pool

BEFORE_CLAIM, AFTER_CLAIM, AFTER_WRITE, BEFORE_SETTLE = "before_claim", "after_claim", "after_write", "before_settle"
POINTS = (BEFORE_CLAIM, AFTER_CLAIM, AFTER_WRITE, BEFORE_SETTLE)
BATCH = 8
LEASE = timedelta(seconds=4)
DEADLINE_S = 2.0
LOOK_EVERY_S = 0.02
SWEEP_EVERY_S = 0.5


class Doom:
    """Counts arrivals at one point."""

    def __init__(self, point: str, times: int) -> None:
        self.point = point
        self._left = times

    def at(self, point: str) -> None:
        """The end, if it is this one."""
        if point == self.point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


class DoomedChannel(FcmChannel):
    """Killed while answers are awaited: each body was handed over, and none is answered so soon."""

    def __init__(self, account: dict[str, Any], doom: Doom, **settings: Any) -> None:
        super().__init__(account, deadline_s=DEADLINE_S, **settings)
        self._doom = doom

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        sending = asyncio.create_task(super().send(messages, now))
        while self._doom.point == AFTER_WRITE and not sending.done():
            await asyncio.sleep(0.001)
            active = self._transport._active.values()
            if active and all(exchange._unread.tell() for exchange in active):
                await asyncio.sleep(0.02)  # out of the buffers of TLS, too
                self._doom.at(AFTER_WRITE)
                break
        return await sending


class DoomedDispatcher(Dispatcher):
    """Killed around its transactions."""

    doom: Doom

    async def _claim(self, now: datetime, rows_max: int) -> Claimed:
        self.doom.at(BEFORE_CLAIM)
        claimed = await super()._claim(now, rows_max)
        if claimed.rows:
            self.doom.at(AFTER_CLAIM)
        return claimed

    async def _settle(self, *given: Any) -> None:
        self.doom.at(BEFORE_SETTLE)
        await super()._settle(*given)


async def main(dsn: str, url: str, account: str, ca_file: str, point: str, times: str) -> None:
    dispatcher_module.BATCH_ROWS, claim_module.LEASE = BATCH, LEASE  # type: ignore[misc] # smaller than life, in this process alone
    loop, stop, doom = asyncio.get_running_loop(), asyncio.Event(), Doom(point, int(times))
    channel = DoomedChannel(msgspec.json.decode(Path(account).read_bytes()), doom, base_url=url, ca_file=Path(ca_file))
    await channel.open()
    async with await open_pool(dsn, 3) as pool:
        dispatcher = DoomedDispatcher(pool, channel, EventLogJournal())
        dispatcher.doom = doom
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.readline)
        loop.add_reader(sys.stdin, stop.set)
        swept_at = 0.0
        while not stop.is_set():
            await dispatcher.dispatch(SystemClock().now, stop)
            if point == "never" and loop.time() > swept_at + SWEEP_EVERY_S:
                await dispatcher.sweep(await SystemClock().now())
                swept_at = loop.time()
            await asyncio.sleep(LOOK_EVERY_S)
    await channel.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
