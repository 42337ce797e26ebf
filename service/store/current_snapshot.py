"""The snapshot this process decides with: replaced whole when a newer one has been published and found sound."""

import asyncio
import contextlib
from typing import Any, Final

import asyncpg

from bandits.policies.model import NO_MAP, DamagedSnapshotError, Model
from service import telemetry
from service.store import models, snapshots
from service.store.pool import LOST

CHANNEL: Final = "snapshot"
POLL_S: Final = 1.0

_LOG: Final = telemetry.logger("snapshot")


class SnapshotCache:
    """`current` is None until the first snapshot has been loaded."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._wake = asyncio.Event()
        self._refused: int | None = None
        self.current: Model | None = None

    async def refresh(self) -> Model | None:
        """Takes the newest snapshot unless it is the one in use; a damaged one is refused, counted, and the last good one stays."""
        async with self._pool.acquire() as connection:
            newest = await snapshots.latest_version(connection)
            known = self.current.version if self.current else 0
            if newest is None or newest <= known or newest == self._refused:
                return self.current
            try:
                self.current = await models.load(connection, newest, self.current.taste_map if self.current else NO_MAP)
                telemetry.SNAPSHOT_VERSION.set(newest)
            except (DamagedSnapshotError, snapshots.SnapshotDamagedError, snapshots.SnapshotMissingError) as error:
                self._refused = newest
                telemetry.SNAPSHOTS_REFUSED.inc()
                _LOG.error("snapshot refused", version=newest, reason=str(error))
        return self.current

    async def watch(self, dsn: str) -> None:
        """Keeps `current` fresh until cancelled: at once when told of a new snapshot, at the latest every POLL_S."""
        while True:
            with contextlib.suppress(*LOST):
                connection = await asyncpg.connect(dsn)
                try:
                    await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
                    while not connection.is_closed():
                        await self.refresh()
                        await self._wait()
                finally:
                    connection.terminate()
            await asyncio.sleep(POLL_S)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), POLL_S)
        self._wake.clear()
