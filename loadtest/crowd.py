"""Clients that begin and do not end: one in four says nothing, others half a head, half a body, and half of a large one."""

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import Callable
from typing import Any, Final

PACE_S: Final = 0.008
"""One is opened after the other: at once they would all be closed at once too, and the generator would be held up by them."""
GATHER_S_MAX: Final = 40.0
LARGE_BYTES: Final = 120_000
"""Of a large body: one in four of a thousand clients holds half of it, and all of them less than a server keeps for one address."""

_LENGTH: Final = re.compile(rb"content-length: \d+")


class Unfinished(asyncio.Protocol):
    """One of them. `told` is what came of the server, `closed_after_s` the time from the connection to its end where that was the server's.

    A busy client hears late that it is connected: `asked_s` is what came before.
    """

    def __init__(self, beginning: bytes, on_closed: Callable[["Unfinished"], None]) -> None:
        self.beginning = beginning
        self.told = b""
        self.closed_after_s: float | None = None
        self.asked_s = 0.0
        self._on_closed = on_closed
        self.since = 0.0
        self._transport: Any = None  # uvloop's is no subclass of asyncio's

    @property
    def age_s(self) -> float:
        """For how long it has been there."""
        return time.monotonic() - self.since

    def connection_made(self, transport: Any) -> None:
        """Called by the loop."""
        self._transport, self.since = transport, time.monotonic()
        if self.beginning:
            transport.write(self.beginning)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self.told += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it so
        """Called by the loop."""
        if self._transport is not None:
            self.closed_after_s = self.age_s
            self._on_closed(self)

    def go(self) -> None:
        """Leaves without a word."""
        transport, self._transport = self._transport, None
        transport.abort()


def beginnings(whole: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Nothing, half of the head, half of the body of a request, and its head with half of a large body."""
    body_at = whole.index(b"\r\n\r\n") + 4
    large = _LENGTH.sub(b"content-length: %d" % LARGE_BYTES, whole[:body_at]) + b" " * (LARGE_BYTES // 2)
    return b"", whole[: body_at // 2], whole[: (body_at + len(whole)) // 2], large


async def begin(port: int, beginning: bytes, on_closed: Callable[[Unfinished], None] = lambda _: None) -> Unfinished:
    """Opens one at a port of this machine.

    Raises:
        OSError: it could not be connected.
    """
    asked = time.monotonic()
    _, one = await asyncio.get_running_loop().create_connection(
        lambda: Unfinished(beginning, on_closed), "127.0.0.1", port
    )
    one.asked_s = one.since - asked
    return one


class Crowd:
    """So many of them, all the time: who is closed by the server is followed by another.

    `closed_s` is after how long each was that the server closed; `stayed_s` the ages of those that were there when the crowd went;
    `fewest` were there at any instant since it had gathered.
    """

    def __init__(self, port: int, whole: bytes, size: int) -> None:
        self.size = size
        self.fewest = size
        self.closed_s: list[float] = []
        self.stayed_s: list[float] = []
        self._port = port
        self._beginnings = itertools.cycle(beginnings(whole))
        self._there: set[Unfinished] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._is_whole = asyncio.Event()
        self._is_wanted = self._has_gathered = False

    async def gather(self) -> None:
        """Returns when all are there, at once where they have gathered before; after GATHER_S_MAX with those who are."""
        if self._keeping is not None:
            return
        self._is_wanted = True
        self._is_whole.clear()
        self._keeping = asyncio.get_running_loop().create_task(self._keep())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S_MAX):
                await self._is_whole.wait()
        self._has_gathered = True
        self._count()

    async def go(self) -> None:
        """All leave, and nobody follows."""
        if self._keeping is None:
            return
        self._is_wanted = self._has_gathered = False
        keeping, self._keeping = self._keeping, None
        await keeping
        for one in self._there:
            self.stayed_s.append(one.age_s)
            one.go()
        self._there.clear()

    async def _keep(self) -> None:
        due = time.monotonic()
        while self._is_wanted:
            if len(self._there) < self.size:
                with contextlib.suppress(OSError):
                    one = await begin(self._port, next(self._beginnings), self._on_closed)
                    if one.closed_after_s is None:
                        self._there.add(one)
            else:
                self._is_whole.set()
            due = max(due + PACE_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _on_closed(self, one: Unfinished) -> None:
        assert one.closed_after_s is not None
        self.closed_s.append(one.closed_after_s)
        self._there.discard(one)
        self._count()

    def _count(self) -> None:
        if self._has_gathered:
            self.fewest = min(self.fewest, len(self._there))
