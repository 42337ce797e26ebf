"""Leadership: of all workers the one that holds an advisory lock, on a connection of its own, calls the ticks."""

import asyncio
import contextlib
from typing import Any, Final

import asyncpg

from push.clock import pause
from push.schedule import Schedule, Tick
from service.store import session_lock
from service.store.pool import LOST
from service.telemetry import logger

LOCK: Final = 0x7469636B73
BEAT_S: Final = 0.5
STAND_EVERY_S: Final = 0.2
"""How often who does not lead asks for the lock: what a takeover costs at most, beside the tick itself."""

ANSWER_S: Final = 2.0
"""A heartbeat that is not answered in this time ends the leadership."""

_LOG: Final = logger("leader")

_EPOCH: Final = "select nextval('leader_epoch')"
_BEAT: Final = "select 1"
# The server lets go of the lock of a leader that has silently vanished from the network.
_KEEPALIVE: Final = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}
_SETTINGS: Final = {"application_name": "welltimed leader", **_KEEPALIVE}


class Leader:
    """Stands for election until stopped. Losing the lock pauses the ticks at once; the fence of each tick does the rest."""

    def __init__(self, dsn: str, ticks: list[Tick]) -> None:
        self._dsn = dsn
        self._schedule = Schedule(ticks)

    async def run(self, stop: asyncio.Event) -> None:
        """Leads whenever nobody else does; whatever happens to the connection, it stands again."""
        self._schedule.start()
        try:
            while not stop.is_set():
                with contextlib.suppress(*LOST):
                    await self._stand(stop)
                await pause(BEAT_S, stop)
        finally:
            self._schedule.stop()

    async def _stand(self, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(
            self._dsn, server_settings=_SETTINGS, timeout=ANSWER_S, command_timeout=ANSWER_S
        )
        connection.add_termination_listener(lambda _: self._schedule.pause())
        try:
            while not stop.is_set():
                if await session_lock.try_lock(connection, LOCK):
                    await self._lead(connection, stop)
                await pause(STAND_EVERY_S, stop)
        finally:
            self._schedule.pause()
            connection.terminate()

    async def _lead(self, connection: Any, stop: asyncio.Event) -> None:
        epoch = await connection.fetchval(_EPOCH)
        _LOG.info("this worker leads", epoch=epoch)
        self._schedule.resume(epoch)
        while not stop.is_set():
            await connection.fetchval(_BEAT)
            self._schedule.keep_time()
            await pause(BEAT_S, stop)
