"""Micro-batches without timers: what is asked while a batch is being served is the next batch."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import asyncpg

from service import telemetry
from service.errors import ApiError, disk_full, is_disk_full

Question = TypeVar("Question")
Answer = TypeVar("Answer")

RETRY_AFTER_S: Final = 1
UNREACHABLE: Final = (
    OSError,  # TimeoutError is one of them
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its connection was cut at an unlucky moment
)

REFUSES_ALL: Final = (*UNREACHABLE, asyncpg.InsufficientResourcesError)
"""What each question alone would meet too: a full disk is one of them."""


class Limits(NamedTuple):
    """How much may wait in all, and how much one batch may hold, in the unit of the batcher's `size_of`."""

    waiting_max: int
    batch_max: int
    under_way_max: int = 1
    """Batches served at once: while one waits for PostgreSQL another is made ready."""


class _Request(NamedTuple, Generic[Question, Answer]):
    question: Question
    size: int
    done: asyncio.Future[Answer]


class Batcher(Generic[Question, Answer]):
    """Holds what was asked until one task has served it; `serve` answers a batch in order, all of it or none.

    A batch that cannot be served is served again one by one, so that one bad question fails alone; but for a lock that others hold nobody
    waits who stands behind somebody who has waited for it in vain.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]],
        limits: Limits,
        size_of: Callable[[Question], int] = lambda _: 1,
        waiting_changed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._serve = serve
        self._limits = limits
        self._size_of = size_of
        self._waiting_changed = waiting_changed
        self._log = telemetry.logger(name)
        self._requests: deque[_Request[Question, Answer]] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._is_open = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts the task that serves, on the running loop."""
        self._is_open = True
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Takes nothing more and returns when everything taken is answered or has failed."""
        self._is_open = False
        self._wake.set()
        if self._task is not None:
            await self._task

    async def submit(self, question: Question) -> Answer:
        """As `put`, and waits; who is cancelled meanwhile leaves the question behind."""
        return await self.put(question)

    def put(self, question: Question) -> asyncio.Future[Answer]:
        """What will have the answer once its batch has been served, or the ApiError 503 for a worker that stops, or without PostgreSQL
        (then it may have been served or not).

        Raises:
            ApiError: 503 when too much waits, or the worker stops.
        """
        if not self._is_open:
            raise stopping()
        size = self._size_of(question)
        if self._waiting + size > self._limits.waiting_max:
            detail = f"Too many {self._name} wait; try again."
            raise ApiError(503, "overloaded", detail, retry_after_s=RETRY_AFTER_S)
        request: _Request[Question, Answer] = _Request(question, size, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._count(size)
        self._wake.set()
        return request.done

    async def _run(self) -> None:
        under_way: set[asyncio.Task[None]] = set()
        try:
            while self._is_open or self._requests:
                if not self._requests:
                    self._wake.clear()
                    await self._wake.wait()
                elif self._limits.under_way_max == 1:
                    await self._flush(self._take())
                else:
                    under_way = await self._begin(under_way)
            if under_way:
                await asyncio.wait(under_way)
        except asyncio.CancelledError:
            for task in under_way:
                task.cancel()
            raise
        finally:
            self._is_open = False
            _fail(self._requests, stopping)

    async def _begin(self, under_way: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Begins the next batch as soon as there is room beside those under way; gives those that are under way then."""
        if len(under_way) == self._limits.under_way_max:
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        return {*under_way, asyncio.create_task(self._flush(self._take()), name=self._name)}

    def _take(self) -> list[_Request[Question, Answer]]:
        """The oldest requests, up to batch_max but at least one."""
        taken = [self._requests.popleft()]
        size = taken[0].size
        while self._requests and size + self._requests[0].size <= self._limits.batch_max:
            taken.append(self._requests.popleft())
            size += taken[-1].size
        return taken

    async def _flush(self, requests: list[_Request[Question, Answer]]) -> None:
        try:
            await self._answer(requests)
        except REFUSES_ALL as error:
            self._refuse(requests, error)
        except Exception as error:  # noqa: BLE001 - whatever one question does must not stop the others
            if len(requests) == 1 and isinstance(error, asyncpg.LockNotAvailableError):
                self._refuse(requests, error)
                return
            # The message may quote what a client sent: only the type is logged.
            self._log.warning("batch failed, each alone now", error=type(error).__qualname__, requests=len(requests))
            await self._answer_each(requests)
        finally:
            _fail(requests, stopping)
            self._count(-sum(request.size for request in requests))

    async def _answer(self, requests: list[_Request[Question, Answer]]) -> None:
        answers = await self._serve([request.question for request in requests])
        for request, answer in zip(requests, answers, strict=True):
            if not request.done.done():
                request.done.set_result(answer)

    async def _answer_each(self, requests: Sequence[_Request[Question, Answer]]) -> None:
        for place, request in enumerate(requests):
            try:
                await self._answer([request])
            except asyncpg.LockNotAvailableError as error:
                self._refuse(requests[place:], error)
                return
            except REFUSES_ALL as error:
                self._refuse([request], error)
            except Exception as error:  # noqa: BLE001 - who asked what cannot be served is told so, and nobody else
                if not request.done.done():
                    request.done.set_exception(error)

    def _refuse(self, requests: Iterable[_Request[Question, Answer]], error: Exception) -> None:
        if is_disk_full(error):
            telemetry.FAILURES.labels("disk_full").inc()
            self._log.error("the disk is full", error=type(error).__qualname__)
            _fail(requests, disk_full)
        else:
            self._log.error("database does not answer", error=type(error).__qualname__)
            _fail(requests, _unreachable)

    def _count(self, size: int) -> None:
        self._waiting += size
        self._waiting_changed(self._waiting)


def _fail(requests: Iterable[_Request[Question, Answer]], reason: Callable[[], ApiError]) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(reason())


def _unreachable() -> ApiError:
    return ApiError(
        503, "unavailable", "The database does not answer at the moment; try again.", retry_after_s=RETRY_AFTER_S
    )


def stopping() -> ApiError:
    """Told to who is still here when a worker ends."""
    return ApiError(503, "unavailable", "This worker is stopping; try again.", retry_after_s=RETRY_AFTER_S)
