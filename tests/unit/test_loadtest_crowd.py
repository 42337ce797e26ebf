"""The crowd of half-open clients: one in four each, all the time as many as wanted, and who is closed is counted."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from loadtest import crowd, wire
from loadtest.crowd import Crowd

WHOLE = wire.request("POST", "/v1/decisions", {"authorization": "Bearer sk_x"}, b'{"user_id":"ann"}')
PATIENCE_S = 20


class Door(asyncio.Protocol):
    """Takes what comes and says nothing."""

    def __init__(self, inside: list["Door"]) -> None:
        self.came = b""
        self.is_open = True
        self._inside = inside

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._inside.append(self)

    def data_received(self, data: bytes) -> None:
        self.came += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False


@contextlib.asynccontextmanager
async def doors() -> AsyncIterator[tuple[int, list[Door]]]:
    inside: list[Door] = []
    listener = await asyncio.get_running_loop().create_server(lambda: Door(inside), "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], inside
    finally:
        listener.close()
        for door in inside:
            door.transport.abort()
        await asyncio.sleep(0.01)  # both ends are let go in the next turns of the loop


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


def test_half_a_head_is_no_head_and_half_a_body_no_body() -> None:
    nothing, head, body, large = crowd.beginnings(WHOLE)
    assert nothing == b""
    assert b"\r\n\r\n" not in head
    assert WHOLE.startswith(head)
    assert WHOLE.startswith(body)
    assert 0 < len(body.partition(b"\r\n\r\n")[2]) < len(b'{"user_id":"ann"}')
    large_head, _, begun = large.partition(b"\r\n\r\n")
    assert b"content-length: %d" % crowd.LARGE_BYTES in large_head.split(b"\r\n")
    assert len(begun) == crowd.LARGE_BYTES / 2


async def test_who_is_closed_is_counted_and_followed_by_another() -> None:
    async with doors() as (port, inside):
        half_open = Crowd(port, WHOLE, 8)
        await half_open.gather()
        await half_open.gather()  # they are there already
        await until(lambda: Counter(door.came for door in inside) == dict.fromkeys(crowd.beginnings(WHOLE), 2))
        for door in inside[:2]:
            door.transport.close()
        await until(lambda: len(inside) == 10)
        assert len(half_open.closed_s) == 2
        assert 6 <= half_open.fewest < 8
        await half_open.go()
        await until(lambda: not any(door.is_open for door in inside))
        assert len(half_open.stayed_s) == 8
        assert (len(inside), len(half_open.closed_s)) == (10, 2)
        assert min(*half_open.stayed_s, *half_open.closed_s) > 0
