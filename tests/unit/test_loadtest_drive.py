"""The load generator: its HTTP connection, the open and the closed loop, against a server whose slowness is known."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from loadtest import drive, references, wire
from loadtest.drive import Target

REQUEST = wire.request("POST", "/", {}, b"")
ANSWER = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 5\r\n\r\nhello"
NEXT_PIECE_S = 0.002


class Stub(asyncio.Protocol):
    """Answers the n-th request after `pause_s(n)` with `pieces`, one packet each; without pieces it closes."""

    def __init__(self, pieces: Sequence[bytes], pause_s: Callable[[], float], transports: list[Any]) -> None:
        self._pieces = pieces
        self._pause_s = pause_s
        self._transports = transports

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._transports.append(transport)

    def data_received(self, data: bytes) -> None:
        assert data.endswith(b"\r\n\r\n")
        loop, at = asyncio.get_running_loop(), self._pause_s()
        if not self._pieces:
            loop.call_later(at, self._transport.abort)
        for place, piece in enumerate(self._pieces):
            loop.call_later(at + place * NEXT_PIECE_S, self._transport.write, piece)


@contextlib.asynccontextmanager
async def served(*pieces: bytes, pause_s: Callable[[int], float] = lambda _: 0.0) -> AsyncIterator[Target]:
    transports: list[Any] = []
    numbers = itertools.count()
    listener = await asyncio.get_running_loop().create_server(
        lambda: Stub(pieces, lambda: pause_s(next(numbers)), transports), "127.0.0.1", 0
    )
    try:
        yield Target("stub", listener.sockets[0].getsockname()[1], os.getpid())
    finally:
        listener.close()
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0.01)  # both ends of every connection are let go in the next turns of the loop


def refusal(status: int) -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode()


@pytest.mark.parametrize("cut", [None, 3, 20, 40, len(ANSWER) - 1])
async def test_an_answer_may_come_in_pieces(cut: int | None) -> None:
    pieces = (ANSWER,) if cut is None else (ANSWER[:cut], ANSWER[cut:])
    async with served(*pieces) as target:
        assert await wire.ask(target.port, REQUEST) == (200, b"hello")


async def test_a_connection_is_used_again_and_again() -> None:
    seen: list[tuple[int, bytes]] = []
    done = asyncio.Event()

    def answered(connection: wire.Connection, status: int) -> None:
        seen.append((status, connection.body))
        if len(seen) < 3:
            connection.send(REQUEST)
        else:
            done.set()

    async with served(ANSWER[:30], ANSWER[30:]) as target:
        connection = await wire.connect(target.port, answered)
        connection.send(REQUEST)
        await asyncio.wait_for(done.wait(), 5)
        connection.close()
    assert seen == [(200, b"hello")] * 3


async def test_a_connection_that_closes_before_the_answer_is_told() -> None:
    async with served() as target:
        assert (await wire.ask(target.port, REQUEST))[0] == wire.GONE


def test_a_request_says_how_long_its_body_is() -> None:
    sent = wire.request("POST", "/v1/x", {"authorization": "Bearer k"}, b"four")
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /v1/x HTTP/1.1",
        b"host: 127.0.0.1",
        b"authorization: Bearer k",
        b"content-length: 4",
    ]
    assert body == b"four"


def test_arrivals_are_poisson() -> None:
    times = drive.arrivals(1_000.0, 20.0, seed=1)
    gaps = np.diff(times)
    assert times[-1] < 20.0
    assert np.all(gaps > 0)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    # The deviation of an exponential is its mean; of evenly spaced arrivals it would be 0.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.array_equal(times, drive.arrivals(1_000.0, 20.0, seed=1))


async def test_waiting_for_a_stalled_server_counts_from_the_scheduled_instant() -> None:
    """Coordinated omission: who measures from the sending sees one slow request, here all ten waited."""
    schedule = np.linspace(0.01, 0.1, 10)
    async with served(ANSWER, pause_s=lambda number: 0.4 if number == 0 else 0.0) as target:
        seen = await drive.open_loop(target, itertools.repeat(REQUEST), schedule, connections=1)
    assert seen.failed == 0
    assert np.all(seen.latencies_s > 0.29)
    assert seen.lateness_s[0] < seen.latencies_s[0] - 0.39
    assert seen.lateness_s[-1] > 0.29
    assert seen.quantile_ms(0.99) >= 400


async def test_requests_do_not_wait_for_the_answers_of_others() -> None:
    schedule = np.linspace(0.0, 0.1, 20)
    async with served(ANSWER, pause_s=lambda _: 0.5) as target:
        seen = await drive.open_loop(target, itertools.repeat(REQUEST), schedule, connections=20)
    assert seen.failed == 0
    assert np.all(seen.lateness_s < 0.4)
    assert np.all(seen.latencies_s >= 0.49)


async def test_what_fails_has_no_latency() -> None:
    async with served(refusal(503)) as target:
        seen = await drive.open_loop(target, itertools.repeat(REQUEST), np.array([0.0, 0.01]), connections=2)
    assert seen.failed == 2
    assert seen.quantile_ms(0.5) == np.inf


async def test_the_closed_loop_counts_what_was_answered_while_it_counted() -> None:
    async with served(ANSWER, pause_s=lambda _: 0.02) as target:
        seen = await drive.closed_loop(target, itertools.repeat(REQUEST), connections=4, warm_s=0.1, seconds=0.5)
    assert seen.failed == 0
    assert seen.seconds >= 0.49
    assert 0 < seen.per_s <= 4 / 0.02
    assert seen.per_s == seen.answered / seen.seconds
    assert seen.server_cpu_s > 0


async def test_the_closed_loop_counts_failures_apart() -> None:
    async with served(refusal(500), pause_s=lambda _: 0.01) as target:
        seen = await drive.closed_loop(target, itertools.repeat(REQUEST), connections=2, warm_s=0.0, seconds=0.2)
    assert seen.answered == 0
    assert seen.failed > 0


async def test_the_echo_answers_as_many_bytes_as_it_is_told_to() -> None:
    async with references.running("echo", 123, "") as target:
        status, answer = await wire.ask(target.port, wire.request("POST", "/v1/decisions", {}, b"{}"))
    assert (status, len(answer)) == (200, 123)
