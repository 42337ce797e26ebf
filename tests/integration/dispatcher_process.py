"""A dispatcher in a process of its own, to be killed: `python -m … DSN STAND_IN_URL ACCOUNT NOW`."""

import asyncio
import sys
from datetime import datetime
from pathlib import Path

import msgspec

from push.clock import standing
from push.fcm.channel import FcmChannel
from push.sending.dispatcher import Dispatcher
from service.planning.exposure_journal import EventLogJournal
from service.store.pool import open_pool


async def main(dsn: str, url: str, account: str, now: str) -> None:
    channel = FcmChannel(msgspec.json.decode(Path(account).read_bytes()), base_url=url)
    await channel.open()
    async with await open_pool(dsn, 2) as pool:
        await Dispatcher(pool, channel, EventLogJournal()).dispatch(standing(datetime.fromisoformat(now)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
