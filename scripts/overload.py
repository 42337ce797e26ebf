"""What one API worker does at, beyond and beside its limit: `python scripts/overload.py [--seconds 8]`, a minute and a half on this machine only.

It finds what the worker can do (closed loop), asks for that much and for three times as much (open loop, latency from the scheduled
instant), and then for half of it beside 1,000 clients that never finish what they begin. Figures are of this machine and its load.
"""

import argparse
import asyncio
import itertools
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

import numpy as np
import uvloop

from loadtest import processes, server, wire, workload
from loadtest.alarm import Alarm
from loadtest.drive import F64, OK, Target, arrivals, closed_loop
from loadtest.wire import Connection
from loadtest.workload import Caller

CONNECTIONS: Final = 600
"""Of the open loop: more than the worker lets in, so that it is the worker that refuses."""
HALF_OPEN: Final = 1_000
ELSEWHERE: Final = "127.0.0.2"
"""Their address: one address may not have so many connections, and here all have the same."""
REFUSED: Final = frozenset({429, 503})
SETTLE_S: Final = 3.0
DRAIN_S: Final = 10.0


class Seen(NamedTuple):
    """Seconds from the scheduled instant to the answer, and from sending to it; and the status of each (0: none came)."""

    latencies_s: F64
    answered_s: F64
    statuses: np.ndarray

    def line(self, name: str) -> str:
        """One row of the table: admitted, refused, and how long each took."""
        admitted, refused = self.statuses == OK, np.isin(self.statuses, list(REFUSED))
        strange = len(self.statuses) - int(admitted.sum()) - int(refused.sum())
        own = [_ms(self.latencies_s[admitted], share) for share in (0.5, 0.99)]
        others = [_ms(self.answered_s[refused], share) for share in (0.5, 0.99, 1.0)]
        return (
            f"{name:34s} {admitted.sum():8d} {own[0]:8.1f} {own[1]:8.1f} {refused.sum():8d} "
            + " ".join(f"{each:8.1f}" for each in others)
            + f" {strange:8d}"
        )


def _ms(seconds: F64, share: float) -> float:
    return 1e3 * float(np.quantile(seconds, share, method="higher")) if len(seconds) else float("nan")


class _OpenLoop:
    """Each request leaves at its instant, on any connection that is free."""

    def __init__(self, requests: Iterator[bytes], schedule: F64) -> None:
        self.latencies, self.answered = (np.full(len(schedule), np.inf) for _ in range(2))
        self.statuses = np.zeros(len(schedule), np.int64)
        self.done = asyncio.Event()
        self._requests, self._schedule = requests, schedule
        self._due: list[float] = []
        self._sent_at = np.zeros(len(schedule))
        self._next = self._over = 0
        self._free: list[Connection] = []
        self._all: list[Connection] = []
        self._waiting: list[int] = []
        self._alarm = Alarm(self._send_due)

    async def run(self, port: int) -> Seen:
        self._all = [await wire.connect(port, self._on_answer) for _ in range(CONNECTIONS)]
        self._free = list(self._all)
        begin = time.monotonic() + 0.1
        self._due = [begin + at for at in self._schedule.tolist()]
        self._alarm.set(self._due[0])
        try:
            async with asyncio.timeout(float(self._schedule[-1]) + DRAIN_S):
                await self.done.wait()
        finally:
            self._alarm.close()
            for connection in self._all:
                connection.close()
        return Seen(self.latencies, self.answered, self.statuses)

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
        self._sent_at[place] = time.monotonic()
        connection.send(next(self._requests))

    def _on_answer(self, connection: Connection, status: int) -> None:
        now, place = time.monotonic(), connection.tag
        self.latencies[place], self.answered[place] = now - self._due[place], now - self._sent_at[place]
        self.statuses[place] = status
        self._over += 1
        if self._over == len(self._due):
            self.done.set()
        elif self._waiting:
            self._send(connection, self._waiting.pop(0))
        else:
            self._free.append(connection)


class _HalfOpen:
    """Clients that begin and do not end: some say nothing, some half a head, some half a body. Who is closed comes again."""

    def __init__(self, port: int, key: str) -> None:
        whole = Caller(port, key).post("/v1/decisions", workload.decision_bodies()[0])
        body_at = whole.index(b"\r\n\r\n") + 4
        self._beginnings = [b"", whole[: body_at // 2], whole[: body_at + 20]]
        self._port = port
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        for beginning in itertools.islice(itertools.cycle(self._beginnings), HALF_OPEN):
            opened = socket.create_connection(("127.0.0.1", self._port), source_address=(ELSEWHERE, 0))
            opened.sendall(beginning)
            opened.setblocking(False)
            self._sockets.append(opened)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()

    def still_open(self) -> int:
        """How many the server has not closed."""
        return sum(_is_open(each) for each in self._sockets)


def _is_open(each: socket.socket) -> bool:
    try:
        while each.recv(4_096):
            pass
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    return False


async def _measure(seconds: float) -> None:
    async with server.serving() as served:
        caller = Caller(served.port, served.key)
        await workload.set_up(caller, datetime.now(UTC))
        await asyncio.sleep(SETTLE_S)
        requests = workload.decisions(caller)
        target = Target("server", served.port, served.api_pid)
        can = await closed_loop(target, requests, connections=48, warm_s=2.0, seconds=seconds)
        print(f"capacity: {can.per_s:.0f} decisions a second, {can.cpu_us:.0f} us of processor time each")
        print(f"{'':34s} admitted   p50 ms   p99 ms  refused   p50 ms   p99 ms   max ms  strange   worker      own")

        async def play(name: str, share: float, lasts_s: float) -> None:
            loop = _OpenLoop(requests, arrivals(share * can.per_s, lasts_s, workload.SEED))
            before = (processes.cpu_s(served.api_pid), time.process_time())
            seen = await loop.run(served.port)
            used = (processes.cpu_s(served.api_pid) - before[0], time.process_time() - before[1])
            print(f"{seen.line(name)} {used[0] / lasts_s:8.2f} {used[1] / lasts_s:8.2f}", flush=True)
            await asyncio.sleep(1.0)

        await play("half of capacity", 0.5, seconds)
        await play("capacity", 1.0, seconds)
        await play("3 x capacity", 3.0, seconds)
        await play("half of capacity", 0.5, seconds)
        with _HalfOpen(served.port, served.key) as half_open:
            await play(f"the same beside {HALF_OPEN} half-open", 0.5, seconds)
            begun = time.monotonic()
            while left := half_open.still_open():
                await asyncio.sleep(0.2)
                if time.monotonic() - begun > 30:
                    break
        print(f"half-open still open at the end: {left}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=8.0, help="of each of the six parts")
    uvloop.run(_measure(parser.parse_args().seconds))
