"""In-app decisions in micro-batches without timers: one read and one insert for all that came while the last batch was in flight."""

import asyncio
import os
from collections import deque
from datetime import datetime
from typing import Any, Final, NamedTuple

from schema.decision import Channel, DecisionRequest
from service import telemetry
from service.clock import Clock
from service.decision import pipeline, policy
from service.decision.ask import Ask, Decided
from service.errors import ApiError
from service.store import decision_people, people
from service.store.catalogue import CatalogueCache
from service.store.current_snapshot import SnapshotCache
from service.store.decision_people import DecisionPerson
from service.store.people import PersonKey

BATCH_MAX: Final = 256
QUEUE_MAX: Final = 2_048
RETRY_AFTER_S: Final = 1


class _Waiting(NamedTuple):
    key: PersonKey
    request: DecisionRequest
    done: asyncio.Future[Decided]


class DecisionBatcher:
    """Takes requests for decisions and answers each when its batch has been logged."""

    def __init__(self, pool: Any, clock: Clock, catalogue: CatalogueCache, snapshot: SnapshotCache) -> None:
        self._pool = pool
        self._clock = clock
        self._catalogue = catalogue
        self._snapshot = snapshot
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._is_open = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts the task that decides, on the running loop."""
        self._is_open = True
        self._task = asyncio.create_task(self._run(), name="decisions")

    async def close(self) -> None:
        """Takes nothing more and returns when everything taken is answered."""
        self._is_open = False
        self._wake.set()
        if self._task is not None:
            await self._task

    async def submit(self, key: PersonKey, request: DecisionRequest) -> Decided:
        """Decides for one person; returns when the decision is in PostgreSQL.

        Raises:
            ApiError: 503 when too many wait, this worker stops, or no snapshot has been loaded yet.
        """
        if not self._is_open:
            raise ApiError(503, "unavailable", "This worker is stopping; try again.", retry_after_s=RETRY_AFTER_S)
        if len(self._queue) >= QUEUE_MAX:
            raise ApiError(503, "overloaded", "Too many decisions wait; try again.", retry_after_s=RETRY_AFTER_S)
        waiting = _Waiting(key, request, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._wake.set()
        return await waiting.done

    async def _run(self) -> None:
        while self._is_open or self._queue:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
            try:
                answers = await self._decide(batch)
            except Exception as error:  # noqa: BLE001 - whoever waits is told, and the next batch is served
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
                continue
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.done.done():
                    waiting.done.set_result(answer)

    async def _decide(self, batch: list[_Waiting]) -> list[Decided]:
        model = self._snapshot.current
        if model is None:
            raise ApiError(503, "unavailable", "No snapshot has been loaded yet.", retry_after_s=RETRY_AFTER_S)
        now = await self._clock.now()
        with telemetry.DECISION_SECONDS.time():
            async with self._pool.acquire() as connection:
                found = await self._identify(connection, [waiting.key for waiting in batch], now)
                asked = [(self._ask(waiting.request), found[waiting.key]) for waiting in batch]
                return await pipeline.decide(connection, asked, self._catalogue.current, model, now)

    async def _identify(self, connection: Any, keys: list[PersonKey], now: datetime) -> dict[PersonKey, DecisionPerson]:
        found = await decision_people.by_key(connection, keys)
        if len(found.people) < len(set(keys)):
            async with connection.transaction():
                await people.ensure(connection, keys, now)
            found = await decision_people.by_key(connection, keys)
        if found.catalogue_version != self._catalogue.current.version:
            await self._catalogue.refresh(connection)
        return found.people

    def _ask(self, request: DecisionRequest) -> Ask:
        known, offers = self._catalogue.current.index_by_external, self._catalogue.current.ids
        return Ask(
            placement=request.placement,
            channel=Channel.IN_APP,
            rules=policy.in_app_rules(request.slots),
            context=request.context,
            candidates=None,
            excluded=tuple(int(offers[known[name]]) for name in request.exclude if name in known),
            holdout_share=policy.HOLDOUT_SHARE,
            control_share=policy.CONTROL_SHARE,
            campaign_id=None,
            entropy=os.urandom(10),
        )
