"""A dispatcher that goes on until its standard input closes, in a process of its own: `python -m … DSN STAND_IN_URL ACCOUNT`."""

import asyncio
import sys
from pathlib import Path

import msgspec

from push.fcm.channel import FcmChannel
from push.sending.dispatcher import Dispatcher
from service.clock import SystemClock
from service.planning.exposure_journal import EventLogJournal
from service.store.pool import open_pool

LOOK_EVERY_S = 0.02


async def main(dsn: str, url: str, account: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, stop.set)
    channel = FcmChannel(msgspec.json.decode(Path(account).read_bytes()), base_url=url)
    await channel.open()
    async with await open_pool(dsn, 2) as pool:
        dispatcher = Dispatcher(pool, channel, EventLogJournal())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not stop.is_set():
            await dispatcher.dispatch(SystemClock().now, stop)
            await asyncio.sleep(LOOK_EVERY_S)
    await channel.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
