"""The fault proxy does what it says, on real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from loadtest.faults.proxy import FaultProxy, Streams, to_port

SOON_S = 30.0
NOT_NOW_S = 0.2


class Peer:
    """A server that notes what comes and echoes it; a client that sends and reads."""

    def __init__(self) -> None:
        self.heard = b""
        self.has_eof = asyncio.Event()
        self.is_lost = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                self.heard += data
                writer.write(data)
                await writer.drain()
            self.has_eof.set()
            writer.write(b"bye")
            writer.close()
        except OSError:
            self.is_lost.set()


@asynccontextmanager
async def town() -> AsyncIterator[tuple[Peer, FaultProxy, Streams]]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with FaultProxy(to_port(server.sockets[0].getsockname()[1])).open() as proxy:
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(client, b"hello") == b"hello"
        yield peer, proxy, client
        client[1].close()
    server.close()


async def say(client: Streams, data: bytes, timeout_s: float = SOON_S) -> bytes:
    client[1].write(data)
    return await asyncio.wait_for(client[0].read(1024), timeout_s)


async def test_what_is_delayed_or_throttled_arrives_later() -> None:
    async with town() as (_, proxy, client):
        proxy.delay_s = 0.1
        began = time.monotonic()
        assert await say(client, b"late") == b"late"
        assert time.monotonic() - began >= 0.2  # there and back
        proxy.delay_s, proxy.bytes_per_s = 0.0, 1_000.0
        began = time.monotonic()
        assert await say(client, bytes(100))
        assert time.monotonic() - began >= 0.2


async def test_what_is_frozen_waits_and_nothing_is_lost() -> None:
    async with town() as (peer, proxy, client):
        proxy.freeze()
        with pytest.raises(TimeoutError):
            await say(client, b"held", NOT_NOW_S)
        assert peer.heard == b"hello"
        proxy.thaw()
        assert await asyncio.wait_for(client[0].read(1024), SOON_S) == b"held"


async def test_what_is_forgotten_disappears_and_only_new_connections_work() -> None:
    async with town() as (peer, proxy, client):
        proxy.forget()
        with pytest.raises(TimeoutError):
            await say(client, b"gone", NOT_NOW_S)
        new = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(new, b"new") == b"new"
        assert peer.heard == b"hellonew"
        client[1].close()
        await asyncio.sleep(NOT_NOW_S)
        assert not peer.has_eof.is_set()  # the server never hears that its client has gone
        new[1].close()
        await asyncio.wait_for(peer.has_eof.wait(), SOON_S)


async def test_what_is_cut_is_reset_on_both_sides_and_what_is_refused_does_not_begin() -> None:
    async with town() as (_, proxy, client):
        proxy.cut()
        with pytest.raises(ConnectionError):
            assert await say(client, b"x") == b"" != await say(client, b"y")
        proxy.is_refusing = True
        refused = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionError):
            assert await say(refused, b"x") == b"" != await say(refused, b"y")
        refused[1].close()
        while proxy.connections:
            await asyncio.sleep(0.01)


async def test_half_closed_the_server_hears_the_end_and_its_answer_still_comes() -> None:
    async with town() as (peer, proxy, client):
        proxy.half_close()
        await asyncio.wait_for(peer.has_eof.wait(), SOON_S)
        assert await asyncio.wait_for(client[0].read(1024), SOON_S) == b"bye"
