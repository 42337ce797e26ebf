"""An open loop tells how long one waits: each request leaves at its scheduled instant, and latency counts from that instant."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest import wire
from loadtest.affinity import apart
from loadtest.alarm import Alarm
from loadtest.arrivals import F64
from loadtest.foremost import foremost
from loadtest.target import Target
from loadtest.wire import Connection

DRAIN_S: Final = 3.0
"""How long answers are waited for after the last request; what has not come by then has failed."""
UNANSWERED: Final = -1
_RETRY_AFTER: Final = b"\r\nretry-after:"
_CONNECT_AT_ONCE: Final = 50
SETTLE_S: Final = 0.7
"""Connections are there before the flood: that thousands are opened in the same instant is not what is measured."""


class Kind(NamedTuple):
    """One of the things asked for: its share of the arrivals, its requests, the statuses that are no failure, and who hears request and answer."""

    name: str
    share: float
    requests: Iterator[bytes]
    good: tuple[int, ...] = (wire.OK,)
    heard: Callable[[bytes, bytes], None] | None = None


class Seen(NamedTuple):
    """One element an arrival: its place among the kinds, the answer's status, instants and waits in seconds.

    `latency_s` counts from the scheduled instant to the answer, whatever it says; infinite where none came. `late_s` is how long after
    that instant the generator turned to it (its own fault), `late_s` + `waited_s` when it left (no connection was free: the server's).
    """

    names: tuple[str, ...]
    good: tuple[tuple[int, ...], ...]
    schedule_s: F64
    kinds: npt.NDArray[np.int8]
    statuses: npt.NDArray[np.int16]
    latency_s: F64
    late_s: F64
    waited_s: F64
    without_retry_after: int
    cpu_s: float

    def of(self, name: str) -> npt.NDArray[np.bool_]:
        """Which arrivals are of that kind."""
        mine: npt.NDArray[np.bool_] = self.kinds == self.names.index(name)
        return mine

    @property
    def is_good(self) -> npt.NDArray[np.bool_]:
        """Which were answered as they should be."""
        found = np.zeros(len(self.kinds), np.bool_)
        for place, good in enumerate(self.good):
            found |= (self.kinds == place) & np.isin(self.statuses, good)
        return found

    @property
    def is_refused(self) -> npt.NDArray[np.bool_]:
        """Which were told to come back later."""
        return np.isin(self.statuses, wire.REFUSALS)


class _OpenLoop:
    """When every connection is busy a request waits for one, and its wait counts."""

    def __init__(self, port: int, kinds: tuple[Kind, ...], schedule: F64, which: npt.NDArray[np.int8]) -> None:
        size = len(schedule)
        self.statuses = np.full(size, UNANSWERED, np.int16)
        self.latency = np.full(size, np.inf)
        self.late = np.full(size, np.inf)
        self.waited = np.zeros(size)
        self.without_retry_after = 0
        self.done = asyncio.Event()
        self._port = port
        self._kinds = kinds
        self._which: list[int] = which.tolist()
        self._due: list[float] = schedule.tolist()
        self._next = 0
        self._left = size
        self._waiting: deque[int] = deque()
        self._free: deque[Connection] = deque()
        self._connections: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(self._send_due)

    async def connect(self, connections: int) -> None:
        for start in range(0, connections, _CONNECT_AT_ONCE):
            some = range(start, min(start + _CONNECT_AT_ONCE, connections))
            self._connections += await asyncio.gather(
                *(wire.connect(self._port, self._on_answer, place) for place in some)
            )
        self._free.extend(self._connections)
        await asyncio.sleep(SETTLE_S)

    def begin(self) -> None:
        start = time.monotonic() + 0.02
        self._due = [start + at for at in self._due]
        self._alarm.set(self._due[0])

    def stop(self) -> None:
        self._alarm.close()
        for task in self._opening:
            task.cancel()
        for connection in self._connections:
            connection.close()

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._next < len(self._due) and self._due[self._next] <= now:
            place = self._next
            self.late[place] = now - self._due[place]
            if self._free:
                self._send(self._free.popleft(), place)
            else:
                self._waiting.append(place)
            self._next += 1
        if self._next < len(self._due):
            self._alarm.set(self._due[self._next])

    def _send(self, connection: Connection, place: int) -> None:
        connection.tag = place
        if connection.is_open:
            connection.send(next(self._kinds[self._which[place]].requests))
        else:
            opening = asyncio.get_running_loop().create_task(self._send_anew(connection, place))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _send_anew(self, closed: Connection, place: int) -> None:
        """The server has closed that one: a client opens another, and the time that takes counts."""
        try:
            connection = await wire.connect(self._port, self._on_answer, place)
        except OSError:
            self._on_answer(closed, wire.GONE)
            return
        self._connections.append(connection)
        self._send(connection, place)

    def _on_answer(self, connection: Connection, status: int) -> None:
        place, now = connection.tag, time.monotonic()
        self.statuses[place] = status
        if status != wire.GONE:
            self.latency[place] = now - self._due[place]
        if status in wire.REFUSALS and _RETRY_AFTER not in connection.head:
            self.without_retry_after += 1
        kind = self._kinds[self._which[place]]
        if kind.heard is not None and status in kind.good:
            kind.heard(connection.asked, connection.body)
        self._left -= 1
        if self._left == 0:
            self.done.set()
        elif self._waiting:
            place = self._waiting.popleft()
            self.waited[place] = now - self._due[place] - self.late[place]
            self._send(connection, place)
        else:
            self._free.append(connection)


async def open_loop(target: Target, kinds: tuple[Kind, ...], schedule: F64, *, connections: int, seed: int) -> Seen:
    """Sends at the instants of `schedule` (seconds, ascending, at least one), over at most `connections` at a time.

    Which kind comes when is drawn beforehand too. The target's processes leave one core to us.
    """
    shares = np.array([kind.share for kind in kinds])
    which = np.random.default_rng(seed).choice(len(kinds), len(schedule), p=shares / shares.sum()).astype(np.int8)
    loop = _OpenLoop(target.port, kinds, schedule, which)
    began = 0.0
    try:
        await loop.connect(connections)
        with apart(target.pids), foremost():
            began = time.process_time()
            loop.begin()
            async with asyncio.timeout(float(schedule[-1]) + DRAIN_S):
                await loop.done.wait()
    except TimeoutError:
        pass  # what is missing stays unanswered
    finally:
        loop.stop()
    return Seen(
        tuple(kind.name for kind in kinds),
        tuple(kind.good for kind in kinds),
        schedule,
        which,
        loop.statuses,
        loop.latency,
        loop.late,
        loop.waited,
        loop.without_retry_after,
        time.process_time() - began,
    )
