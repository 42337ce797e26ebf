"""The HTTP server of an API worker: connections with deadlines, and an end at which nobody is cut off."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, cast

import uvicorn

from service.connection import Connection
from service.connections import Connections

GRACE_S: Final = 10
"""How long requests in flight may still take once the worker stops."""
LINGER_S: Final = 1.0
"""How long quiet connections stay open then: a request that is on its way on one of them is answered."""
KEEP_ALIVE_S: Final = 75
Protocol = Callable[..., Connection]


class ApiServer(uvicorn.Server):
    """Serves until SIGTERM; then it says that it stops, closes the door, and answers who is inside."""

    def __init__(
        self,
        app: Any,
        protocol: Protocol,
        connections: Connections,
        on_stop: Callable[[], None],
        drain_s: float,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """Each connection is one of `protocol`, counted by `connections`. `on_stop` is called when the end begins; for `drain_s` seconds from then on new connections are still taken.

        `look` is called every tenth of a second.
        """
        super().__init__(_config(app, protocol))
        self._connections = connections
        self._on_stop = on_stop
        self._drain_s = drain_s
        self._drained = asyncio.Event()
        self._look = look

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does every tenth of a second, with a look at a tenth of all connections."""
        self._connections.sweep()
        self._look()
        return await super().on_tick(counter)

    def end_drain(self) -> None:
        """Takes no new connections from now on."""
        self._drained.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal ends the drain: who tells us twice wants it now."""
        if self.should_exit:
            self.end_drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Each answer from now on closes its connection; uvicorn would close the quiet ones at once, under what is on its way."""
        self._on_stop()
        self._connections.begin_stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._drained.wait()
        for server in self.servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._connections.empty.wait()
        self._connections.close_unfinished()
        await super().shutdown(sockets)


def _config(app: Any, protocol: Protocol) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # uvicorn only calls it
        http=cast("type[asyncio.Protocol]", protocol),
        loop="none",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
