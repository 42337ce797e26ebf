"""Requests that are served on their connection: bodies in pieces, pipelines, clients that go, and what is left to the application."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.admission import Lane
from service.connection import LANE, Connection, TurnAway
from service.connections import Connections
from service.hot_request import HotRequest

HEAD = b"POST /hot HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n"
HEADERS = b"content-length: 6\r\n"


class Kitchen:
    """Takes what goes to /hot; answers when it is told to, with the body that came."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.came: list[HotRequest] = []
        self.at_once = at_once

    def takes(self, target: bytes, headers: Mapping[bytes, bytes]) -> bool:
        return target == b"/hot" and b"content-length" in headers

    def serve(self, request: HotRequest) -> None:
        self.came.append(request)
        if self.at_once:
            self.answer(request)

    def answer(self, request: HotRequest) -> None:
        request.answer(200, HEADERS, request.take_body().ljust(6))

    async def has(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.came) < count:
                await asyncio.sleep(0.005)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of the next one."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            return head, await self.reader.readexactly(6)


async def application(scope: Any, receive: Any, send: Any) -> None:
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"app..."})
    if LANE in scope["state"]:
        scope["state"][LANE].leave()


@asynccontextmanager
async def serving(
    kitchen: Kitchen,
    lane: Lane,
    turn_away: TurnAway = lambda _: None,
    connections: Connections | None = None,
    application: Any = application,
) -> AsyncIterator[Client]:
    def enter(*_: object) -> Lane:
        lane.enter()
        return lane

    config = uvicorn.Config(application, log_config=None, ws="none")
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"today")]
    given = {"config": config, "server_state": state, "app_state": {}}
    protocol = partial(Connection, connections or Connections(10, 10), enter, kitchen, turn_away, **given)
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        yield Client(reader, writer)
        writer.close()
        await asyncio.gather(writer.wait_closed(), *state.tasks, return_exceptions=True)


@pytest.fixture
def lane() -> Lane:
    return Lane("others", 2.0)


async def test_a_body_in_pieces_is_served_once_and_whole(lane: Lane) -> None:
    kitchen = Kitchen()
    async with serving(kitchen, lane) as client:
        for piece in (HEAD, b"\r\n", b"ab", b"cd"):
            await client.send(piece)
            await asyncio.sleep(0.02)
        assert (kitchen.came, lane.in_flight) == ([], 0)  # it takes no place while it is on its way
        await client.send(b"ef")
        await kitchen.has(1)
        assert lane.in_flight == 1
        kitchen.answer(kitchen.came[0])
        assert await client.answer() == (b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 6\r\n\r\n", b"abcdef")
        assert lane.in_flight == 0


@pytest.mark.parametrize("at_once", [True, False])
async def test_one_after_the_other_on_one_connection(lane: Lane, *, at_once: bool) -> None:
    kitchen = Kitchen(at_once=at_once)
    async with serving(kitchen, lane) as client:
        for number in range(5):
            await client.send(HEAD + b"\r\n" + b"%06d" % number)
            await kitchen.has(number + 1)
            if not at_once:
                kitchen.answer(kitchen.came[-1])
            assert (await client.answer())[1] == b"%06d" % number
    assert lane.in_flight == 0


async def test_answers_leave_in_the_order_of_what_was_asked(lane: Lane) -> None:
    kitchen = Kitchen()
    async with serving(kitchen, lane) as client:
        await client.send(HEAD + b"\r\nfirst." + HEAD + b"\r\nsecond")
        await kitchen.has(1)
        await asyncio.sleep(0.05)
        kitchen.answer(kitchen.came[0])
        assert [(await client.answer())[1] for _ in range(2)] == [b"first.", b"app..."]
        assert len(kitchen.came) == 1  # the second found the connection busy, and went to the application
        await client.send(HEAD + b"\r\nthird.")
        await kitchen.has(2)
        kitchen.answer(kitchen.came[1])
        assert (await client.answer())[1] == b"third."
    assert lane.in_flight == 0


async def test_who_goes_leaves_no_place_behind(lane: Lane) -> None:
    wrong: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    for sent, came in ((HEAD + b"\r\nhalf", 0), (HEAD + b"\r\nwhole.", 1)):
        kitchen = Kitchen()
        async with serving(kitchen, lane) as client:
            await client.send(sent)
            await kitchen.has(came)
            await asyncio.sleep(0.02)
            client.writer.transport.abort()
        await asyncio.sleep(0.05)
        assert len(kitchen.came) == came
        for request in kitchen.came:
            kitchen.answer(request)  # it goes nowhere
        assert lane.in_flight == 0
    assert wrong == []


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (HEAD + b"connection: close\r\n", b"connection: close\r\n"),
        (b"POST /hot HTTP/1.0\r\ncontent-length: 6\r\n", b"connection: close\r\n"),
    ],
)
async def test_the_last_answer_of_a_connection_says_so(lane: Lane, head: bytes, told: bytes) -> None:
    async with serving(Kitchen(at_once=True), lane) as client:
        await client.send(head + b"\r\nabcdef")
        assert told in (await client.answer())[0]
        assert await client.reader.read() == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab",
        b"PUT /hot HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab",
        b"POST /hot HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        b"POST /hot HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_everything_else_is_the_applications(lane: Lane, request_bytes: bytes) -> None:
    kitchen = Kitchen()
    async with serving(kitchen, lane) as client:
        await client.send(request_bytes)
        assert (await client.answer())[1] == b"app..."
    assert kitchen.came == []


async def test_who_is_turned_away_may_ask_again_on_the_same_connection(lane: Lane) -> None:
    answers = [b"HTTP/1.1 503 Sorry\r\n\r\nno way", b"HTTP/1.1 503 Sorry\r\n\r\nsorry.", None]
    kitchen = Kitchen(at_once=True)
    async with serving(kitchen, lane, lambda _: answers.pop(0)) as client:
        for told in (b"no way", b"sorry.", b"abcdef"):
            await client.send(HEAD + b"\r\nabcdef")
            assert (await client.answer())[1] == told
    assert len(kitchen.came) == 1


async def test_bodies_on_their_way_have_room_together(lane: Lane) -> None:
    all_open = Connections(10, 10, lambda _: True, 8)
    kitchen = Kitchen(at_once=True)
    async with (
        serving(kitchen, lane, connections=all_open) as slow,
        serving(kitchen, lane, connections=all_open) as other,
    ):
        await slow.send(HEAD + b"\r\nabcd")
        await other.send(HEAD + b"\r\nabcd")
        await until_held(all_open, 8)
        await other.send(b"ef")
        head = await other.reader.read()
        assert b"503" in head
        assert b"retry-after: 1" in head
        assert kitchen.came == []  # though its body ended with what was refused
        await slow.send(b"ef")
        assert (await slow.answer())[1] == b"abcdef"
        await slow.send(HEAD + b"\r\nabcdef")
        assert (await slow.answer())[1] == b"abcdef"
        await slow.send(HEAD + b"\r\nabcd")
    await until_empty(all_open)
    assert (all_open._arriving_bytes, lane.in_flight) == (0, 0)


async def test_a_body_that_comes_in_one_piece_needs_no_room(lane: Lane) -> None:
    full = Connections(10, 10, lambda _: True, 8)
    assert full.hold(8, "others")
    async with serving(Kitchen(at_once=True), lane, connections=full) as client:
        await client.send(HEAD + b"\r\nabcdef")
        assert (await client.answer())[1] == b"abcdef"
    assert full._arriving_bytes == 8


async def test_bodies_in_chunks_have_the_same_room(lane: Lane) -> None:
    all_open = Connections(10, 10, lambda _: True, 8)
    chunked = HEAD.replace(b"content-length: 6", b"transfer-encoding: chunked") + b"\r\n"
    assert b"chunked" in chunked
    kitchen = Kitchen(at_once=True)
    async with (
        serving(kitchen, lane, connections=all_open) as slow,
        serving(kitchen, lane, connections=all_open) as other,
    ):
        await slow.send(chunked + b"4\r\nabcd\r\n")
        await other.send(chunked + b"4\r\nabcd\r\n")
        await other.send(b"2\r\nef\r\n0\r\n\r\n")
        assert b"503" in await other.reader.read()
        await slow.send(b"2\r\nef\r\n0\r\n\r\n")
        assert (await slow.answer())[1] == b"app..."
        assert all_open._arriving_bytes == 0
        await slow.send(chunked + b"4\r\nabcd\r\n")
    await until_empty(all_open)
    assert all_open._arriving_bytes == 0


@pytest.mark.parametrize("pieces", [[b"ab", b"0123456789", b"cd"], [b"0123456789", b"ab"], [b"ab", b"0123456789"]])
async def test_of_a_body_for_which_there_is_no_room_nothing_is_taken_for_all(lane: Lane, pieces: list[bytes]) -> None:
    received: list[Any] = []

    async def recording(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            received.append(message)
            if not message["more_body"]:
                return
        received.append(message)
        await send({"type": "http.response.start", "status": 200, "headers": []})  # goes nowhere

    all_open = Connections(10, 10, lambda _: True, 8)
    chunked = HEAD.replace(b"content-length: 6", b"transfer-encoding: chunked") + b"\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    async with serving(Kitchen(at_once=True), lane, connections=all_open, application=recording) as client:
        await client.send(chunked + body)
        answer = await client.reader.read()
        assert answer.count(b"HTTP/1.1") == answer.count(b"HTTP/1.1 503") == 1
    await until_empty(all_open)
    assert received[-1]["type"] == "http.disconnect"
    assert all_open._arriving_bytes == 0


async def test_who_asks_ahead_gets_the_answers_in_their_order_though_there_is_no_room(lane: Lane) -> None:
    all_open = Connections(10, 10, lambda _: True, 8)
    kitchen = Kitchen(at_once=False)
    async with (
        serving(kitchen, lane, connections=all_open) as slow,
        serving(kitchen, lane, connections=all_open) as ahead,
    ):
        await ahead.send(HEAD + b"\r\nabcdef")
        await kitchen.has(1)
        await slow.send(HEAD + b"\r\nabcd")
        await ahead.send(HEAD.replace(b"/hot", b"/other") + b"\r\nabcdef")
        await asyncio.sleep(0.05)
        kitchen.answer(kitchen.came[0])
        assert [(await ahead.answer())[1] for _ in range(2)] == [b"abcdef", b"app..."]


@pytest.mark.parametrize("path", [b"/hot", b"/other"])
async def test_a_connection_that_is_gone_is_not_left_to_the_search_for_cycles(lane: Lane, path: bytes) -> None:
    kitchen = Kitchen(at_once=True)
    all_open = Connections(10, 10)
    gc.disable()
    try:
        async with serving(kitchen, lane, connections=all_open) as client:
            await client.send(HEAD.replace(b"/hot", path) + b"\r\nabcdef")
            await client.answer()
            kitchen.came.clear()
            seen = [weakref.ref(one) for one in all_open._open]
        await until_empty(all_open)
        await asyncio.sleep(0.01)
        assert [one() for one in seen] == [None]
    finally:
        gc.enable()


async def until_held(connections: Connections, count: int) -> None:
    async with asyncio.timeout(5):
        while connections._arriving_bytes != count:
            await asyncio.sleep(0.001)


async def until_empty(open_ones: Connections) -> None:
    async with asyncio.timeout(30):
        await open_ones.empty.wait()


async def test_what_a_turn_cannot_serve_comes_later_whole_and_in_order(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen = Kitchen(at_once=True)
    all_open = Connections(10, 10)
    async with serving(kitchen, lane, connections=all_open) as client:

        def late(one: Any) -> bool:
            one.loop.call_later(0.02, one.serve_late)
            return False

        monkeypatch.setattr(all_open.turns, "take", late)
        for piece in (HEAD, b"\r\nabc", b"def" + HEAD + b"\r\nghijkl"):
            await client.send(piece)
            await asyncio.sleep(0.015)
        assert [(await client.answer())[1] for _ in range(2)] == [b"abcdef", b"ghijkl"]
        await client.send(HEAD)
        client.writer.close()
    await until_empty(all_open)
    assert lane.in_flight == 0


async def test_of_who_waits_for_a_turn_only_so_much_is_read(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen = Kitchen(at_once=True)
    all_open = Connections(10, 10)
    waiting: list[Any] = []

    def never(one: Any) -> bool:
        waiting.append(one)
        return False

    async with serving(kitchen, lane, connections=all_open) as client:
        monkeypatch.setattr(all_open.turns, "take", never)
        requests = 40_000
        client.writer.write((HEAD + b"\r\nabcdef") * requests)
        while not waiting or waiting[0].transport.is_reading():
            await asyncio.sleep(0.005)
        assert len(waiting[0]._aside) < requests * len(HEAD) / 4
        monkeypatch.undo()
        waiting[0].serve_late()
        for _ in range(requests):
            await client.answer()
    assert len(kitchen.came) == requests


async def test_what_is_inside_of_a_request_is_never_taken_for_one(lane: Lane) -> None:
    inside = HEAD + b"\r\nsecret"
    asked: list[bytes] = []

    def turn_away(data: bytes) -> bytes | None:
        asked.append(data)
        return b"HTTP/1.1 503 Sorry\r\n\r\ntaken!" if data == inside else None

    kitchen = Kitchen(at_once=True)
    async with serving(kitchen, lane, turn_away) as client:
        lane._limit = 0  # the first is refused by its head, so that nothing is being answered while its body comes
        head = b"POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(inside)
        await client.send(head)
        assert b"503" in await client.reader.readuntil(b"\r\n\r\n")
        await client.reader.readuntil(b"}")
        lane._limit = 9
        await client.send(inside)
        await asyncio.sleep(0.05)
        await client.send(HEAD + b"\r\nabcdef")
        assert (await client.answer())[1] == b"abcdef"
    assert asked == [head, HEAD + b"\r\nabcdef"]
