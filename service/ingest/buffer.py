"""Micro-batches without timers: what arrives while a commit is in flight is the next batch."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple

import asyncpg

from service import telemetry
from service.errors import ApiError
from service.ingest.checked import CheckedEvent

ROWS_PER_COMMIT_MAX: Final = 2_000
RETRY_AFTER_S: Final = 1
_LOG: Final = telemetry.logger("ingest")
_UNREACHABLE: Final = (
    OSError,  # TimeoutError is one of them
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
)

Write = Callable[[Any, Sequence[CheckedEvent]], Awaitable[list[bool]]]


class _Request(NamedTuple):
    events: Sequence[CheckedEvent]
    done: asyncio.Future[list[bool]]


class EventBuffer:
    """Holds at most `queue_max` events that wait for their commit; one task writes them."""

    def __init__(self, pool: Any, queue_max: int, write: Write) -> None:
        self._pool = pool
        self._queue_max = queue_max
        self._write = write
        self._requests: deque[_Request] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._is_open = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts the writer task on the running loop."""
        self._is_open = True
        self._task = asyncio.create_task(self._run(), name="ingest-writer")

    async def close(self) -> None:
        """Takes nothing more and returns when everything taken is committed or has failed."""
        self._is_open = False
        self._wake.set()
        if self._task is not None:
            await self._task

    async def submit(self, events: Sequence[CheckedEvent]) -> list[bool]:
        """Returns after the commit: True for a new event, False for a duplicate.

        A caller that is cancelled leaves its events behind: they are written, and sent again they are duplicates.

        Raises:
            ApiError: 503 when the queue is full, the worker stops, or PostgreSQL does not answer (then the events may be written
                or not, and to send them again is right in both cases).
        """
        if not events:
            return []
        if not self._is_open:
            raise _stopping()
        if self._waiting + len(events) > self._queue_max:
            raise ApiError(
                503, "overloaded", "Too many events wait for a commit; try again.", retry_after_s=RETRY_AFTER_S
            )
        request = _Request(events, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._count(len(events))
        self._wake.set()
        return await request.done

    async def _run(self) -> None:
        try:
            while self._is_open or self._requests:
                if self._requests:
                    await self._flush(self._take())
                else:
                    self._wake.clear()
                    await self._wake.wait()
        finally:
            self._is_open = False
            _fail(self._requests, _stopping)

    def _take(self) -> list[_Request]:
        """The oldest requests, up to ROWS_PER_COMMIT_MAX events but at least one request."""
        taken = [self._requests.popleft()]
        rows = len(taken[0].events)
        while self._requests and rows + len(self._requests[0].events) <= ROWS_PER_COMMIT_MAX:
            taken.append(self._requests.popleft())
            rows += len(taken[-1].events)
        return taken

    async def _flush(self, requests: list[_Request]) -> None:
        started = perf_counter()
        try:
            await self._commit(requests)
        except _UNREACHABLE as error:
            _refuse(requests, error)
        except Exception as error:  # noqa: BLE001 - whatever one event does to PostgreSQL must not stop the others
            # The message may quote what a client sent: only the type is logged.
            _LOG.warning("batch failed, each request alone now", error=type(error).__qualname__, requests=len(requests))
            for request in requests:
                await self._commit_alone(request)
        finally:
            _fail(requests, _stopping)
            self._count(-sum(len(request.events) for request in requests))
            telemetry.INGEST_SECONDS.observe(perf_counter() - started)

    async def _commit(self, requests: list[_Request]) -> None:
        outcomes = await self._write(self._pool, [event for request in requests for event in request.events])
        place = 0
        for request in requests:
            if not request.done.done():
                request.done.set_result(outcomes[place : place + len(request.events)])
            place += len(request.events)

    async def _commit_alone(self, request: _Request) -> None:
        try:
            await self._commit([request])
        except _UNREACHABLE as error:
            _refuse([request], error)
        except Exception as error:  # noqa: BLE001 - the request that cannot be written is told so, and nobody else
            if not request.done.done():
                request.done.set_exception(error)

    def _count(self, events: int) -> None:
        self._waiting += events
        telemetry.INGEST_QUEUE.set(self._waiting)


def _refuse(requests: Iterable[_Request], error: Exception) -> None:
    _LOG.error("database does not answer", error=type(error).__qualname__)
    _fail(requests, _unreachable)


def _fail(requests: Iterable[_Request], reason: Callable[[], ApiError]) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(reason())


def _unreachable() -> ApiError:
    return ApiError(
        503, "unavailable", "The database does not answer at the moment; try again.", retry_after_s=RETRY_AFTER_S
    )


def _stopping() -> ApiError:
    return ApiError(503, "unavailable", "This worker is stopping; try again.", retry_after_s=RETRY_AFTER_S)
