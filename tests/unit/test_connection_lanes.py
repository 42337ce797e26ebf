"""The place a request takes in its lane is free again whatever becomes of the request."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.admission import Lane
from service.connection import Connection
from service.connections import Connections
from service.front import App

UNREADABLE = [
    b"GET http://example.com HTTP/1.1\r\nhost: a\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nhost: a\r\n\r\n",
]


async def answer_of(request: bytes, app: App, lane: Lane) -> bytes:
    """What a connection answers whose requests all go to this lane."""

    def enter(_method: str, _path: str, _headers: Sequence[tuple[bytes, bytes]], _peer: str) -> Lane:
        lane.enter()
        return lane

    config = uvicorn.Config(app, log_config=None, ws="none")
    config.load()
    protocol = partial(Connection, Connections(10, 10), enter, config=config, server_state=ServerState(), app_state={})
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("request_bytes", UNREADABLE)
async def test_a_target_that_cannot_be_read_takes_no_place_for_ever(request_bytes: bytes) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("nobody is asked")

    lane = Lane("others", 2.0)
    assert (await answer_of(request_bytes, app, lane)).startswith(b"HTTP/1.1 400 ")
    assert lane.in_flight == 0
