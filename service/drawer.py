"""A process that does nothing but draw, and only while more is due than the background worker soon has drawn alone."""

import asyncio
from datetime import datetime
from typing import Final

from push import outbox
from push.drawing.draft import PrivateWords
from push.drawing.due import BATCH_ROWS, DueDrawer
from service.clock import running_clock
from service.decision.policy import BUILT_IN
from service.planning.push_decider import PipelineDecider
from service.rounds import Rounds
from service.settings import Settings
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool
from service.store.pulse import Pulse

LOOK_EVERY_S: Final = 0.5
REFRESH_EVERY_S: Final = 0.25
HELPS_FROM_ROWS: Final = 4 * BATCH_ROWS
"""What the worker draws in less than a second. Two processes do not know what the other has just drawn for a person, so that a second push
within a gap is stopped by its claim, and was drawn for nothing: with as little as this, one process is enough.
"""


class Drawer:
    """Draws beside the worker, from the same rows: what one holds the other passes over."""

    def __init__(self, settings: Settings, dsn: str) -> None:
        self._settings = settings
        self._dsn = dsn
        self._stop = asyncio.Event()
        self._clock = running_clock(settings.hastened_clock)

    def stop(self) -> None:
        """Ends `run` after the batches under way."""
        self._stop.set()

    async def run(self) -> None:
        """Draws until stopped."""
        pulse, size_max = Pulse(self._dsn), self._settings.pool_max
        async with await open_pool(self._dsn, size_max, waits_for_disk=False, joined=pulse.joined) as pool:
            self._pool = pool
            self._snapshot, self._policy = SnapshotCache(pool), PolicyCache(pool, BUILT_IN)
            words = PrivateWords(self._settings.private_title, self._settings.private_body)
            decider = PipelineDecider(CatalogueCache(), self._snapshot, self._policy, words)
            self._drawer = DueDrawer(pool, decider, self._settings.seed.encode())
            every = Rounds(self._clock, self._stop).every
            async with asyncio.TaskGroup() as group:
                group.create_task(pulse.feel(self._stop))
                group.create_task(every(REFRESH_EVERY_S, self.refresh))
                group.create_task(every(LOOK_EVERY_S, self.help_out))

    async def refresh(self, _: datetime) -> None:
        """Takes up what is in force, also while a long backlog is being drawn."""
        await self._snapshot.refresh()
        await self._policy.refresh()

    async def help_out(self, now: datetime) -> None:
        """Draws what is due, if it is much."""
        if self._snapshot.current is not None and await outbox.is_backlog(self._pool, now, HELPS_FROM_ROWS):
            await self._drawer.draw_due(self._clock.now, self._stop)
