"""The role of the stand-in for FCM, on this machine only."""

import uvloop

from push.stand_in.app import create_stand_in
from service.clock import Clock, running_clock
from service.service_account import read_account
from service.settings import Settings
from service.sockets import listen, server
from service.store.pool import open_pool
from service.store.virtual_clock import VirtualClock


def run(settings: Settings, dsn: str) -> None:
    """Serves the stand-in until told to stop."""
    account = read_account(settings.firebase_credentials)

    async def serve() -> None:
        async with await open_pool(dsn, 1) as pool:
            running = running_clock(settings.hastened_clock)
            clock: Clock = VirtualClock(pool) if settings.is_virtual_clock else running
            app = create_stand_in(now=clock.now, service_account=account)
            await server(app).serve(sockets=[listen("127.0.0.1", settings.stand_in_port)])

    uvloop.run(serve())
