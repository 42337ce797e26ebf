"""The role of the background worker."""

import asyncio
import signal
from pathlib import Path
from typing import Final

import certifi
import uvloop

from push.fcm import FcmChannel
from service.service_account import read_account
from service.settings import Settings
from service.worker import Worker

GOOGLE: Final = "https://fcm.googleapis.com"


def run(settings: Settings, dsn: str) -> None:
    """Works until told to stop."""
    account = read_account(settings.firebase_credentials)
    base_url = settings.fcm_base_url or GOOGLE

    async def work() -> None:
        worker = Worker(settings, dsn, FcmChannel(account, base_url=base_url, ca_file=Path(certifi.where())))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()

    uvloop.run(work())
