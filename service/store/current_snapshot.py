"""The snapshot this process decides with: replaced whole when another is in force (newer, or pinned) and found sound."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from bandits.policies.model import NO_MAP, DamagedSnapshotError, Model
from push.clock import pause
from service import telemetry
from service.store import models, snapshot_pins, snapshots
from service.store.pool import CONNECT_S, LOST

CHANNEL: Final = "snapshot"
POLL_S: Final = 1.0

_BEAT: Final = "select 1"

_LOG: Final = telemetry.logger("snapshot")


class SnapshotCache:
    """`current` is None until the first snapshot has been loaded."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._wake = asyncio.Event()
        self._refused: set[int] = set()
        self.current: Model | None = None

    async def refresh(self) -> Model | None:
        """Takes the snapshot in force unless it is the one in use; a damaged one is refused, counted, and the last good one stays.

        A process that has none yet takes the newest when the pinned one is refused, as by a program that knows other features.
        """
        async with self._pool.acquire() as connection:
            wanted = await snapshot_pins.in_force(connection)
            if self.current is None or wanted != self.current.version:
                await self._take(connection, wanted)
            if self.current is None:
                await self._take(connection, await snapshots.newest_version(connection))
        return self.current

    async def _take(self, connection: Any, version: int | None) -> None:
        if not version or version in self._refused:
            return
        try:
            known = self.current.taste_map if self.current else NO_MAP
            self.current = await models.load(connection, version, known)
            telemetry.SNAPSHOT_VERSION.set(version)
        except (DamagedSnapshotError, snapshots.SnapshotDamagedError, snapshots.SnapshotMissingError) as error:
            self._refused.add(version)
            telemetry.SNAPSHOTS_REFUSED.inc()
            _LOG.error("snapshot refused", version=version, reason=str(error))

    async def watch(self, dsn: str, beside: Callable[[], Awaitable[object]]) -> None:
        """Keeps `current` fresh until cancelled: at once when told of a new one, at the latest every POLL_S; calls `beside` with it.

        What fails is counted and tried again, for one that had ended would leave this process with an old snapshot for ever.
        """
        while True:
            try:
                await self._watch(dsn, beside)
            except LOST as error:
                _LOG.warning("the snapshot is watched again", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - whatever it is, the next look may find it mended
                telemetry.FAILURES.labels("snapshot_watch").inc()
                _LOG.exception("watching the snapshot failed and starts again")
            await asyncio.sleep(POLL_S)

    async def _watch(self, dsn: str, beside: Callable[[], Awaitable[object]]) -> None:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, command_timeout=CONNECT_S)
        try:
            await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
            while not connection.is_closed():
                await self.refresh()
                await beside()
                await self._wait()
                await connection.execute(_BEAT)  # a silent one would never tell that it is gone
        finally:
            connection.terminate()

    async def _wait(self) -> None:
        await pause(POLL_S, self._wake)
        self._wake.clear()
