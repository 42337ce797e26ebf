"""A closed loop finds what a server can do: every connection sends its next request when the last is answered."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self

from loadtest import processes, sessions, wire
from loadtest.foremost import foremost
from loadtest.target import Target
from loadtest.wire import Connection

DRAIN_S: Final = 3.0
RETRY_AFTER_S: Final = 1.0
LONGER_MAX: Final = 6


class Throughput(NamedTuple):
    """A round: answers, seconds, and seconds of processor time of the server's processes, of its sessions of PostgreSQL and of ours.

    `idle_s` is what all cores together had to spare. `answered_in_all` are the answers before and after the counting too. Who was `refused`
    asked again after a second: a server that lets fewer in than there are connections is loaded with those.
    """

    answered: int
    failed: int
    refused: int
    answered_in_all: int
    seconds: float
    server_cpu_s: float
    postgres_cpu_s: float
    driver_cpu_s: float
    idle_s: float

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of the server's processes for one answer, in microseconds."""
        return 1e6 * self.server_cpu_s / max(self.answered, 1)

    @property
    def postgres_cpu_us(self) -> float:
        """The same of its sessions of PostgreSQL."""
        return 1e6 * self.postgres_cpu_s / max(self.answered, 1)

    @property
    def driver_cpu_us(self) -> float:
        """The same of our own process."""
        return 1e6 * self.driver_cpu_s / max(self.answered, 1)


class _ClosedLoop:
    def __init__(self, requests: Iterator[bytes]) -> None:
        self.answered = 0
        self.failed = 0
        self.refused = 0
        self._requests = requests
        self._connections: list[Connection] = []
        self._is_open = True
        self._busy = 0
        self._done = asyncio.Event()

    async def start(self, port: int, connections: int) -> Self:
        self._connections = [await wire.connect(port, self._on_answer) for _ in range(connections)]
        self._busy = connections
        for connection in self._connections:
            connection.send(next(self._requests))
        return self

    async def stop(self) -> None:
        """Asks for nothing more, and waits for what is under way."""
        self._is_open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._done.wait()
        for connection in self._connections:
            connection.close()

    def _on_answer(self, connection: Connection, status: int) -> None:
        if status in wire.REFUSALS:
            self.refused += 1
            asyncio.get_running_loop().call_later(RETRY_AFTER_S, self._go_on, connection, status)
            return
        if status == wire.OK:
            self.answered += 1
        else:
            self.failed += 1
        self._go_on(connection, status)

    def _go_on(self, connection: Connection, status: int) -> None:
        if self._is_open and status != wire.GONE:
            connection.send(next(self._requests))
            return
        self._busy -= 1
        if self._busy == 0:
            self._done.set()


async def closed_loop(
    target: Target,
    requests: Iterator[bytes],
    *,
    database: Any,
    connections: int,
    warm_s: float,
    seconds: float,
    answers_min: int = 0,
) -> Throughput:
    """Keeps `connections` busy, `warm_s` seconds before counting and `seconds` while it counts.

    On a machine that is too busy for `answers_min` in that time it counts longer, up to LONGER_MAX times: what is under way at both
    ends would weigh too much. `database` is a connection to the PostgreSQL whose sessions are read; None for none.
    """
    loop = await _ClosedLoop(requests).start(target.port, connections)
    try:
        with foremost():
            await asyncio.sleep(warm_s)
            before = await _look(target, database, loop)
            for _ in range(LONGER_MAX):
                await asyncio.sleep(seconds)
                if loop.answered - before.answered >= answers_min:
                    break
            after = await _look(target, database, loop)
    finally:
        await loop.stop()
    return Throughput(
        answered=after.answered - before.answered,
        failed=loop.failed,
        refused=loop.refused,
        answered_in_all=loop.answered,
        seconds=after.at - before.at,
        server_cpu_s=after.server_cpu_s - before.server_cpu_s,
        postgres_cpu_s=sessions.spent_s(before.postgres_cpu_s, after.postgres_cpu_s),
        driver_cpu_s=after.driver_cpu_s - before.driver_cpu_s,
        idle_s=after.idle_s - before.idle_s,
    )


class _Look(NamedTuple):
    answered: int
    at: float
    server_cpu_s: float
    driver_cpu_s: float
    idle_s: float
    postgres_cpu_s: dict[int, float]


async def _look(target: Target, database: Any, loop: _ClosedLoop) -> _Look:
    postgres = await sessions.cpu_s(database, target.sessions) if database is not None else {}
    server_cpu_s = sum(processes.cpu_s(pid) for pid in target.pids)
    return _Look(
        loop.answered, time.monotonic(), server_cpu_s, time.process_time(), processes.machine().idle_s, postgres
    )
