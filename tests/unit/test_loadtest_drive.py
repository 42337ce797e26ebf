"""The load generator: its HTTP connection, the arrivals, the open and the closed loop, against a server whose slowness is known."""

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from loadtest import arrivals, closed_loop, open_loop, references, stretch, wire
from loadtest.arrivals import F64
from loadtest.closed_loop import Throughput
from loadtest.open_loop import Kind, Seen
from loadtest.target import Target

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
        yield Target("stub", listener.sockets[0].getsockname()[1], (os.getpid(),))
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


async def opened(target: Target, schedule: F64, connections: int, *kinds: Kind) -> Seen:
    asked = kinds or (Kind("any", 1.0, itertools.repeat(REQUEST)),)
    return await open_loop.open_loop(target, asked, schedule, connections=connections, seed=1)


async def closed(target: Target, connections: int, seconds: float) -> Throughput:
    asked = itertools.repeat(REQUEST)
    return await closed_loop.closed_loop(
        target, asked, database=None, connections=connections, warm_s=0.1, seconds=seconds
    )


def test_arrivals_are_poisson() -> None:
    times = arrivals.poisson(1_000.0, 20.0, seed=1)
    gaps = np.diff(times)
    assert times[-1] < 20.0
    assert np.all(gaps > 0)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    # The deviation of an exponential is its mean; of evenly spaced arrivals it would be 0.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.array_equal(times, arrivals.poisson(1_000.0, 20.0, seed=1))


def test_a_flood_arrives_at_the_rate_of_its_instant() -> None:
    def per_s(times: F64) -> F64:
        return arrivals.flood(times, quiet_per_s=100.0, peak_per_s=1_100.0, pushed_at_s=10.0, half_life_s=5.0)

    times = arrivals.varying(per_s, 1_100.0, 30.0, seed=1)
    counts, _ = np.histogram(times, bins=[0, 10, 11, 15, 16, 20, 21])
    assert counts[0] == pytest.approx(1_000, rel=0.15)  # quiet
    assert counts[1] == pytest.approx(100 + 1_000 * 0.934, rel=0.15)  # the first second after the push
    assert counts[3] == pytest.approx(100 + 500 * 0.934, rel=0.15)  # a half-life later
    assert counts[5] == pytest.approx(100 + 250 * 0.934, rel=0.2)


async def test_waiting_for_a_stalled_server_counts_from_the_scheduled_instant() -> None:
    """Coordinated omission: who measures from the sending sees one slow request, here all ten waited."""
    schedule = np.linspace(0.01, 0.1, 10)
    async with served(ANSWER, pause_s=lambda number: 0.4 if number == 0 else 0.0) as target:
        seen = await opened(target, schedule, 1)
    assert seen.is_good.all()
    assert np.all(seen.latency_s > 0.29)
    # For its connection the last one waited for the server; that is not the generator's lateness.
    assert seen.waited_s[0] == 0.0
    assert seen.waited_s[-1] + seen.late_s[-1] > 0.29
    assert np.median(seen.late_s) < 0.29


async def test_requests_do_not_wait_for_the_answers_of_others() -> None:
    schedule = np.linspace(0.0, 0.1, 20)
    async with served(ANSWER, pause_s=lambda _: 0.5) as target:
        seen = await opened(target, schedule, 20)
    assert seen.is_good.all()
    assert not seen.waited_s.any()
    assert np.all(seen.latency_s >= 0.49)


async def test_the_generator_s_own_lateness_is_seen() -> None:
    """A loop that is held up turns late to what was due meanwhile, and says so."""
    held_up: list[bytes] = []

    def hold_up_once(request: bytes, _: bytes) -> None:
        if not held_up:
            time.sleep(0.5)
        held_up.append(request)

    async with served(ANSWER) as target:
        kind = Kind("any", 1.0, itertools.repeat(REQUEST), heard=hold_up_once)
        seen = await opened(target, np.linspace(0.0, 0.2, 20), 20, kind)
    driver = stretch.driver_of(seen)
    assert driver.late_max_ms > 100
    assert driver.is_late == (driver.late_p99_ms > driver.bound_ms)
    assert stretch.driver_of(seen._replace(latency_s=np.full(20, 0.01))).is_late


async def test_a_refusal_is_no_failure_and_must_say_when_to_come_again() -> None:
    told = b"HTTP/1.1 503 X\r\nRetry-After: 1\r\ncontent-length: 0\r\n\r\n"
    for answer, without in ((told, 0), (refusal(429), 2)):
        async with served(answer) as target:
            seen = await opened(target, np.array([0.0, 0.01]), 2)
        found = stretch.answers_of(seen, "any")
        assert (found.sent, found.answered, found.refused, found.failed) == (2, 0, 2, 0)
        assert seen.without_retry_after == without
        assert found.waits is None
        assert found.refusals is not None


async def test_what_fails_is_a_wait_without_end() -> None:
    async with served(refusal(500)) as target:
        found = stretch.answers_of(await opened(target, np.array([0.0, 0.01]), 2), "any")
    assert (found.failed, found.refused, found.statuses) == (2, 0, {"500": 2})
    assert found.waits is not None
    assert found.waits.p50_ms == np.inf


async def test_a_connection_the_server_closed_is_opened_anew() -> None:
    closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with served(closing) as target:
        seen = await opened(target, np.linspace(0.0, 0.1, 10), 1)
    assert seen.is_good.all()


async def test_each_kind_has_its_share_its_statuses_and_its_hearer() -> None:
    heard: list[tuple[bytes, bytes]] = []
    asked = wire.request("POST", "/b", {}, b"")
    kinds = (
        Kind("a", 0.75, itertools.repeat(REQUEST), good=(201,)),
        Kind("b", 0.25, itertools.repeat(asked), heard=lambda request, body: heard.append((request, body))),
    )
    async with served(ANSWER) as target:
        seen = await opened(target, np.linspace(0.0, 0.2, 200), 8, *kinds)
    assert 100 < seen.of("a").sum() < 190
    assert stretch.answers_of(seen, "a").failed == seen.of("a").sum()
    assert stretch.answers_of(seen, "b").answered == seen.of("b").sum() == len(heard)
    assert set(heard) == {(asked, b"hello")}


async def test_the_closed_loop_counts_what_was_answered_while_it_counted() -> None:
    async with served(ANSWER, pause_s=lambda _: 0.02) as target:
        seen = await closed(target, 4, 0.5)
    assert seen.failed == 0
    assert seen.seconds >= 0.49
    assert 0 < seen.per_s <= 4 / 0.02
    assert seen.per_s == seen.answered / seen.seconds
    assert seen.server_cpu_s > 0


async def test_the_closed_loop_counts_failures_apart() -> None:
    async with served(refusal(500), pause_s=lambda _: 0.01) as target:
        seen = await closed(target, 2, 0.2)
    assert seen.answered == 0
    assert seen.failed > 0


async def test_the_closed_loop_asks_again_a_second_after_a_refusal() -> None:
    async with served(refusal(503), pause_s=lambda _: 0.01) as target:
        seen = await closed(target, 2, 1.5)
    assert (seen.answered, seen.failed) == (0, 0)
    assert 2 < seen.refused <= 6


async def test_the_echo_answers_as_many_bytes_as_it_is_told_to() -> None:
    async with references.running("echo", 123, "") as target:
        status, answer = await wire.ask(target.port, wire.request("POST", "/v1/decisions", {}, b"{}"))
    assert (status, len(answer)) == (200, 123)
