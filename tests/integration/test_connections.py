"""Slow, silent and too many clients, on real sockets: they are closed, and nobody else notices."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from service import connection, http_server
from service.connection import Connection, Enter
from service.connections import Connections
from service.early_answers import HEAD_BYTES_MAX
from service.errors import ApiError
from service.http_server import ApiServer

PATIENCE_S = 60
SHORT_S = 0.3
"""For the deadline of 10 s."""

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n"
REQUEST = HEAD + b"whatever"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(connection, "REQUEST_S", SHORT_S)
    monkeypatch.setattr(connection, "ANSWER_STALLED_S", SHORT_S)


App = Callable[[Any, Any, Any], Awaitable[None]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers the number of bytes that came."""
    if scope["type"] != "http":
        return
    count, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        count, more = count + len(message["body"]), message["more_body"]
    body = str(count).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Server:
    """A running ApiServer, and what it has been told."""

    def __init__(self, app: App, most: int, most_per_address: int, drain_s: float, enter: Enter) -> None:
        self.connections = Connections(most, most_per_address)
        self.stopped = asyncio.Event()
        protocol = partial(Connection, self.connections, enter)
        self.server = ApiServer(app, protocol, self.connections, self.stopped.set, drain_s)
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return reader, writer

    def stop(self) -> None:
        self.server.should_exit = True


@asynccontextmanager
async def serving(
    app: App = echo,
    most: int = 100,
    most_per_address: int = 100,
    drain_s: float = 0.0,
    enter: Enter = lambda *_: None,
) -> AsyncIterator[Server]:
    served = Server(app, most, most_per_address, drain_s, enter)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        served.port = listener.getsockname()[1]
        running = asyncio.create_task(served.server.serve(sockets=[listener]))
        while not served.server.started:
            await asyncio.sleep(0.005)
        try:
            yield served
        finally:
            for writer in served.writers:
                writer.transport.abort()
            served.stop()
            await running


async def answer(reader: asyncio.StreamReader) -> bytes:
    """One answer with a body, head and all."""
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return head + await reader.readexactly(int(length.partition(b":")[2]))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until it is closed."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", b""),
        (b"POST / HTTP/1.1\r\nhost: x\r\nx-half", b"HTTP/1.1 408 Request Timeout\r\n"),
        (HEAD + b"what", b"HTTP/1.1 408 Request Timeout\r\n"),
        (b"\r\n\r\n", b"HTTP/1.1 408 Request Timeout\r\n"),
    ],
)
async def test_who_does_not_ask_to_the_end_is_closed(sent: bytes, told: bytes) -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(sent)
        said = await rest(reader)
        assert said.startswith(told)
        assert bool(said) is bool(told)
        assert not told or b'"code":"request_timeout"' in said
        writer.close()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("more", [b"\r\n", b"GET / HT", HEAD, REQUEST + b"GET"])
async def test_what_follows_a_request_has_a_deadline_too(more: bytes) -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(REQUEST)
        assert (await answer(reader)).endswith(b"\r\n\r\n8")
        writer.write(more)
        assert b"408 Request Timeout" in await rest(reader)
        writer.close()


@pytest.mark.usefixtures("short")
async def test_who_sends_steadily_or_is_quiet_between_requests_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_BYTES_PER_S_MIN", 1)
    monkeypatch.setattr(connection, "LOOK_EVERY_S", 0.0)
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(HEAD)
        for byte in b"whatever":
            await asyncio.sleep(2 * SHORT_S / 3)
            writer.write(bytes([byte]))
        assert (await answer(reader)).endswith(b"\r\n\r\n8")
        await asyncio.sleep(3 * SHORT_S)
        writer.write(REQUEST)
        assert (await answer(reader)).endswith(b"\r\n\r\n8")
        writer.close()


@pytest.mark.usefixtures("short")
async def test_who_stops_in_the_middle_of_a_large_body_has_no_longer_for_what_has_come() -> None:
    length = 50 * connection.BODY_BYTES_PER_S_MIN
    async with serving() as served:
        reader, writer = await served.connect()
        begun = asyncio.get_running_loop().time()
        writer.write(HEAD.replace(b": 8", b": %d" % length) + b"x" * (length - 1))
        assert b"408 Request Timeout" in await rest(reader)
        assert asyncio.get_running_loop().time() - begun < 20
        writer.close()


@pytest.mark.usefixtures("short")
async def test_who_takes_nothing_of_the_answer_is_closed() -> None:
    is_over = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while (await _state(receive)) != "http.disconnect":
                await send({"type": "http.response.body", "body": b"x" * 500_000, "more_body": True})
        finally:
            is_over.set()

    async def _state(receive: Any) -> str:
        try:
            async with asyncio.timeout(0.01):
                return str((await receive())["type"])
        except TimeoutError:
            return ""

    async with serving(endless) as served:
        reader, writer = await served.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.read(1)
        async with asyncio.timeout(PATIENCE_S):
            await is_over.wait()
        writer.transport.abort()


async def test_a_head_without_end_is_refused() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n")
        for number in range(HEAD_BYTES_MAX // 1_000 + 1):
            writer.write(b"x-%d: " % number + b"y" * 1_000 + b"\r\n")
            await asyncio.sleep(0)
        said = await rest(reader)
        assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
        writer.close()
        reader, writer = await served.connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
        for _ in range(10):
            writer.write(b"y" * 10_000)
            await asyncio.sleep(0.001)
        assert (await answer(reader)).endswith(b"\r\n\r\n100000")
        writer.close()


@pytest.mark.parametrize("begun", [b"4\r\nwhat\r\n0\r\n", b"4;x="])
async def test_what_comes_beside_a_body_in_chunks_has_an_end_too(begun: bytes) -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + begun)
        more = b"x: " + b"y" * 10_000 + b"\r\n" if begun.endswith(b"\n") else b"y" * 10_000
        said = b""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(more)
                    await asyncio.sleep(0.001)
                    await writer.drain()
                said = await reader.read()
        assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
        writer.transport.abort()


async def test_a_body_in_chunks_may_have_trailers() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"1388\r\n" + b"y" * 5_000 + b"\r\n")
            await asyncio.sleep(0.001)
        writer.write(b"0\r\nx-sum: 7\r\n\r\n")
        assert (await answer(reader)).endswith(b"\r\n\r\n100000")
        writer.close()


async def test_one_address_has_its_share_of_the_connections() -> None:
    async with serving(most=3, most_per_address=2) as served:
        kept = [await served.connect() for _ in range(2)]
        for reader, writer in kept:
            writer.write(REQUEST)
            await answer(reader)
        reader, writer = await served.connect()
        said = await rest(reader)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in said
        writer.close()
        kept[0][1].close()
        await kept[0][1].wait_closed()
        await _served_again(served)
        kept[1][1].close()


async def test_all_addresses_have_theirs_together() -> None:
    async with serving(most=1) as served:
        first = await served.connect()
        first[1].write(REQUEST)
        await answer(first[0])
        reader, writer = await served.connect()
        assert (await rest(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        first[1].close()
        await _served_again(served)


async def _served_again(served: Server) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            reader, writer = await served.connect()
            writer.write(REQUEST)
            said = await answer(reader)
            writer.close()
            if said.endswith(b"\r\n\r\n8"):
                return


async def test_the_end_answers_what_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "LINGER_S", PATIENCE_S)  # it is over when all are answered
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await go_on.wait()
        await echo(scope, receive, send)

    async with serving(slow) as served:
        asked, quiet = [await served.connect() for _ in range(2)]
        asked[1].write(REQUEST)
        while not served.server.server_state.tasks:
            await asyncio.sleep(0.01)
        served.stop()
        await served.stopped.wait()
        await asyncio.sleep(0.2)
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        quiet[1].write(REQUEST)  # as one that was on its way when the end began
        go_on.set()
        for reader, _ in (asked, quiet):
            said = await answer(reader)
            assert said.endswith(b"\r\n\r\n8")
            assert b"connection: close\r\n" in said


async def test_the_end_waits_for_nobody_who_has_asked_half() -> None:
    async with serving() as served:
        halves = [await served.connect() for _ in range(3)]
        for (_, writer), half in zip(halves, (b"", HEAD[:20], HEAD), strict=True):
            writer.write(half)
        served.stop()
        for reader, _ in halves:
            assert await rest(reader) == b""


async def test_while_it_drains_new_connections_are_taken_for_one_request() -> None:
    async with serving(drain_s=PATIENCE_S) as served:
        served.stop()
        await served.stopped.wait()
        reader, writer = await served.connect()
        writer.write(REQUEST)
        assert b"connection: close\r\n" in await answer(reader)
        assert await rest(reader) == b""
        writer.close()
        served.server.end_drain()


def refuse_posts(method: str, path: str, headers: Any, peer: str) -> None:
    if method in {"POST", "HEAD"} and path != "/let-in":
        raise ApiError(503, "overloaded", "Full.", retry_after_s=1)


async def test_a_refused_request_leaves_its_connection_in_order() -> None:
    async with serving(enter=refuse_posts) as served:
        reader, writer = await served.connect()
        for head, rest_of_body in ((HEAD, b"whatever"), (HEAD + b"what", b"ever"), (REQUEST, b"")):
            writer.write(head)
            said = await answer(reader)
            assert said.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"retry-after: 1\r\n" in said
            assert b"connection: close" not in said
            writer.write(rest_of_body + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await answer(reader)).endswith(b"\r\n\r\n0")
        writer.write(REQUEST.replace(b"POST /", b"POST /let-in?a=/") + REQUEST)
        assert (await answer(reader)).endswith(b"\r\n\r\n8")


async def test_a_refused_request_may_be_the_last_of_its_connection() -> None:
    async with serving(enter=refuse_posts) as served:
        for request in (HEAD.replace(b"host", b"connection: close\r\nhost"), REQUEST.replace(b"1.1", b"1.0")):
            reader, writer = await served.connect()
            writer.write(request)
            said = await rest(reader)
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"connection: close\r\n" in said
        reader, writer = await served.connect()
        writer.write(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert (await rest(reader)).endswith(b"\r\n\r\n")


async def test_after_a_refusal_too_a_quiet_connection_is_closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "KEEP_ALIVE_S", 1)
    async with serving(enter=refuse_posts) as served:
        reader, writer = await served.connect()
        writer.write(HEAD)
        await answer(reader)
        writer.write(b"whatever")
        assert await rest(reader) == b""
