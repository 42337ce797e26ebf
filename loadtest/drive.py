"""Two ways to load a server: closed loop to find what it can do, open loop to see how long one waits for it."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from loadtest import processes, wire
from loadtest.alarm import Alarm
from loadtest.wire import Connection

OK: Final = 200
DRAIN_S: Final = 2.0
"""How long answers are waited for after the last request; what has not come by then has failed."""

F64 = npt.NDArray[np.float64]


class Target(NamedTuple):
    """A server on this machine: its port, and the process whose processor time counts."""

    name: str
    port: int
    pid: int


class Throughput(NamedTuple):
    """A closed-loop round: answers, seconds, and seconds of processor time of the server's process and of ours."""

    answered: int
    failed: int
    seconds: float
    server_cpu_s: float
    generator_cpu_s: float

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of the server's process for one answer, in microseconds."""
        return 1e6 * self.server_cpu_s / max(self.answered, 1)

    @property
    def generator_cpu_us(self) -> float:
        """The same of our own process."""
        return 1e6 * self.generator_cpu_s / max(self.answered, 1)


class Latency(NamedTuple):
    """An open-loop round; `latencies_s` count from the scheduled instant, infinite for what failed.

    `lateness_s` is how long after it each request left, because the generator or every connection was busy.
    """

    latencies_s: F64
    lateness_s: F64
    failed: int

    def quantile_ms(self, share: float) -> float:
        """The latency that `share` of the requests stay within, in milliseconds."""
        return 1e3 * float(np.quantile(self.latencies_s, share, method="higher"))

    def late_ms(self, share: float) -> float:
        """The same of the lateness."""
        return 1e3 * float(np.quantile(self.lateness_s, share, method="higher"))


def arrivals(per_s: float, seconds: float, seed: int) -> F64:
    """Poisson arrivals within `seconds`, in seconds from the start: people do not wait for one another."""
    rng = np.random.default_rng(seed)
    count = int(per_s * seconds + 6 * np.sqrt(per_s * seconds) + 10)
    times = np.cumsum(rng.exponential(1.0 / per_s, count))
    return times[times < seconds]


class _ClosedLoop:
    """Every connection sends its next request when the last is answered."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.answered = 0
        self.failed = 0
        self._requests = requests
        self._connections: list[Connection] = []
        self._is_open = True

    async def start(self, port: int, connections: int) -> Self:
        self._connections = [await wire.connect(port, self._on_answer) for _ in range(connections)]
        for connection in self._connections:
            connection.send(next(self._requests))
        return self

    def stop(self) -> None:
        self._is_open = False
        for connection in self._connections:
            connection.close()

    def _on_answer(self, connection: Connection, status: int) -> None:
        if status == OK:
            self.answered += 1
        else:
            self.failed += 1
        if self._is_open and status != wire.GONE:
            connection.send(next(self._requests))


async def closed_loop(
    target: Target, requests: Iterator[bytes], *, connections: int, warm_s: float, seconds: float
) -> Throughput:
    """Keeps `connections` busy, `warm_s` seconds before counting and `seconds` while it counts."""
    loop = await _ClosedLoop(requests).start(target.port, connections)
    try:
        await asyncio.sleep(warm_s)
        before = (loop.answered, time.monotonic(), processes.cpu_s(target.pid), time.process_time())
        await asyncio.sleep(seconds)
        after = (loop.answered, time.monotonic(), processes.cpu_s(target.pid), time.process_time())
    finally:
        loop.stop()
    answered, elapsed_s, server_s, generator_s = (late - early for late, early in zip(after, before, strict=True))
    return Throughput(int(answered), loop.failed, elapsed_s, server_s, generator_s)


class _OpenLoop:
    """Sends each request at its scheduled instant; when every connection is busy it waits, and its wait counts."""

    def __init__(self, requests: Iterator[bytes], schedule: F64) -> None:
        self.latencies = np.full(len(schedule), np.inf)
        self.lateness = np.full(len(schedule), np.inf)
        self.failed = 0
        self.done = asyncio.Event()
        self._requests = requests
        self._due: list[float] = schedule.tolist()
        self._next = 0
        self._left = len(schedule)
        self._waiting: deque[int] = deque()
        self._free: list[Connection] = []
        self._connections: list[Connection] = []
        self._alarm = Alarm(self._send_due)

    async def start(self, port: int, connections: int) -> None:
        self._connections = [await wire.connect(port, self._on_answer) for _ in range(connections)]
        self._free = list(self._connections)
        begin = time.monotonic() + 0.05
        self._due = [begin + at for at in self._due]
        self._alarm.set(self._due[0])

    def stop(self) -> None:
        self._alarm.close()
        for connection in self._connections:
            connection.close()

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._next < len(self._due) and self._due[self._next] <= now:
            if self._free:
                self._send(self._free.pop(), self._next)
            else:
                self._waiting.append(self._next)
            self._next += 1
        if self._next < len(self._due):
            self._alarm.set(self._due[self._next])

    def _send(self, connection: Connection, place: int) -> None:
        connection.tag = place
        connection.send(next(self._requests))
        self.lateness[place] = time.monotonic() - self._due[place]

    def _on_answer(self, connection: Connection, status: int) -> None:
        place = connection.tag
        if status == OK:
            self.latencies[place] = time.monotonic() - self._due[place]
        else:
            self.failed += 1
        self._left -= 1
        if self._left == 0:
            self.done.set()
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)


async def open_loop(target: Target, requests: Iterator[bytes], schedule: F64, *, connections: int) -> Latency:
    """Sends at the instants of `schedule` (seconds, ascending, at least one), over at most `connections` at a time."""
    loop = _OpenLoop(requests, schedule)
    try:
        await loop.start(target.port, connections)
        async with asyncio.timeout(float(schedule[-1]) + DRAIN_S):
            await loop.done.wait()
    except TimeoutError:
        pass  # what is missing stays infinite
    finally:
        loop.stop()
    return Latency(loop.latencies, loop.lateness, int(np.isinf(loop.latencies).sum()))
