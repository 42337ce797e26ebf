"""Events in micro-batches: one transaction for all that came while the last one was in flight."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, islice
from typing import Any, Final

from service import telemetry
from service.batching import Batcher, Limits
from service.ingest.checked import CheckedEvent, Outcome

ROWS_PER_COMMIT_MAX: Final = 2_000
UNDER_WAY_MAX: Final = 2

Write = Callable[[Any, Sequence[CheckedEvent]], Awaitable[list[Outcome]]]


class EventBuffer:
    """Holds at most `queue_max` events that wait for their commit; two batches are written at once."""

    def __init__(self, pool: Any, queue_max: int, write: Write) -> None:
        self._pool = pool
        self._write = write
        self._batcher: Batcher[Sequence[CheckedEvent], list[Outcome]] = Batcher(
            "events",
            self._commit,
            Limits(queue_max, ROWS_PER_COMMIT_MAX, UNDER_WAY_MAX),
            len,
            telemetry.INGEST_QUEUE.set,
        )

    def open(self) -> None:
        """Starts the writer task on the running loop."""
        self._batcher.open()

    async def close(self) -> None:
        """Takes nothing more and returns when everything taken is committed or has failed."""
        await self._batcher.close()

    async def submit(self, events: Sequence[CheckedEvent]) -> list[Outcome]:
        """Returns after the commit what became of each event.

        A caller that is cancelled leaves its events behind: they are written, and sent again they are duplicates.

        Raises:
            ApiError: 503 when the queue is full, the worker stops, or PostgreSQL does not answer (then the events may be written
                or not, and to send them again is right in both cases).
        """
        return await self._batcher.submit(events) if events else []

    async def _commit(self, requests: Sequence[Sequence[CheckedEvent]]) -> list[list[Outcome]]:
        with telemetry.INGEST_SECONDS.time():
            is_new = iter(await self._write(self._pool, list(chain.from_iterable(requests))))
        return [list(islice(is_new, len(events))) for events in requests]
