"""A small TCP proxy that does to a connection what networks do: delay, throttle, cut, freeze, forget, half-close, refuse.

Frozen, nothing passes and nothing is lost: a cable pulled for a while. Forgotten, what is sent disappears and nobody is told, also when
all is well again: a firewall that has lost its table. New connections of a proxy that is not frozen are not concerned by either.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

CHUNK_BYTES: Final = 65_536

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


@dataclass(eq=False)
class _Link:
    """One connection through the proxy."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    pumps: list["asyncio.Task[None]"] = field(default_factory=list)
    is_forgotten: bool = False

    def abort(self) -> None:
        for writer in (self.client, self.server):
            writer.transport.abort()


class FaultProxy:
    """Listens on `port` of this machine; `delay_s` is added to each piece on its way, `bytes_per_s` limits each direction (0: no limit)."""

    def __init__(self, connect: Connect) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.is_refusing = False
        self._connect = connect
        self._links: set[_Link] = set()
        self._passes = asyncio.Event()
        self._passes.set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["FaultProxy"]:
        """Serves for as long as the context is."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.thaw()
            await self._end()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._links)

    def freeze(self) -> None:
        """From now on nothing passes, nor is anything closed; what is sent waits."""
        self._passes.clear()

    def thaw(self) -> None:
        """All that waits goes on."""
        self._passes.set()

    def forget(self) -> None:
        """What is sent on the present connections disappears from now on; neither side is told of anything any more."""
        for link in self._links:
            link.is_forgotten = True

    def cut(self) -> None:
        """Resets the present connections on both sides."""
        for link in self._links:
            link.abort()

    def half_close(self) -> None:
        """Tells the servers of the present connections that their clients will send no more; answers still pass."""
        for link in self._links:
            link.server.write_eof()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        await self._passes.wait()
        try:
            from_server, to_server = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, to_server)
        self._links.add(link)
        link.pumps = [
            asyncio.create_task(self._pump(link, reader, to_server)),
            asyncio.create_task(self._pump(link, from_server, writer)),
        ]
        try:
            await asyncio.gather(*link.pumps)
        except OSError:
            link.abort()
        finally:
            for pump in link.pumps:
                pump.cancel()
            self._links.discard(link)
            link.abort()

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._hold_up(len(data))
            if not link.is_forgotten:
                writer.write(data)
                await writer.drain()
        await self._passes.wait()
        if link.is_forgotten:
            await asyncio.Event().wait()  # the other side is never told: until the proxy closes
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def _hold_up(self, size: int) -> None:
        await self._passes.wait()
        slow_s = self.delay_s + (size / self.bytes_per_s if self.bytes_per_s else 0.0)
        if slow_s:
            await asyncio.sleep(slow_s)

    async def _end(self) -> None:
        pumps = [pump for link in self._links for pump in link.pumps]
        for link in list(self._links):
            link.abort()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def to_socket(path: str) -> Connect:
    """Connects to a unix socket, as the embedded PostgreSQL has one."""
    return lambda: asyncio.open_unix_connection(path)


def to_port(port: int) -> Connect:
    """Connects to a port of this machine."""
    return lambda: asyncio.open_connection("127.0.0.1", port)
