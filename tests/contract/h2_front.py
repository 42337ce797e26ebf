"""An ASGI app over TLS and HTTP/2 on 127.0.0.1, by the library h2; a request may have its stream reset or its connection ended.

Not for speed: the real HTTP/2 server of the contract suite is nginx. This one can do what a proxy cannot be asked for.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from hyperframe.frame import GoAwayFrame

from push.stand_in.app import FAULT_EXTENSION

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class _Stream:
    """A request on its way through the app."""

    def __init__(self, connection: "_Connection", stream_id: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.connection = connection
        self.id = stream_id
        self.body = bytearray()
        self.is_running = False
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        fields = dict(headers)
        path, _, query = fields[b":path"].partition(b"?")
        self.scope: Message = {
            "type": "http",
            "http_version": "2",
            "method": fields[b":method"].decode(),
            "path": path.decode(),
            "query_string": query,
            "headers": [(name, value) for name, value in headers if not name.startswith(b":")],
            "extensions": {FAULT_EXTENSION: {}},
        }

    def run(self, app: App) -> None:
        self.is_running = True
        self.inbox.put_nowait({"type": "http.request", "body": bytes(self.body)})
        self.task = asyncio.ensure_future(app(self.scope, self.inbox.get, self.send))

    async def send(self, message: Message) -> None:
        if message["type"] == FAULT_EXTENSION:
            self.connection.fail(self.id, message["mode"])
        elif message["type"] == "http.response.start":
            self.connection.answer(self.id, message["status"], message["headers"])
        else:
            self.connection.finish(self.id, message["body"])


class _Connection(asyncio.Protocol):
    def __init__(self, app: App, others: set["_Connection"]) -> None:
        self.app = app
        self.others = others
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.streams: dict[int, _Stream] = {}
        self.last_id: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.others.add(self)
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.others.discard(self)
        for stream in self.streams.values():
            stream.inbox.put_nowait({"type": "http.disconnect"})

    def flush(self) -> None:
        if (data := self.h2.data_to_send()) and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self.meet(event)
        self.flush()

    def meet(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.streams[event.stream_id] = _Stream(self, event.stream_id, event.headers)
        elif isinstance(event, DataReceived):
            self.streams[event.stream_id].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            if self.last_id is None or event.stream_id <= self.last_id:
                self.streams[event.stream_id].run(self.app)
        elif isinstance(event, StreamReset):
            self.streams[event.stream_id].inbox.put_nowait({"type": "http.disconnect"})
        elif isinstance(event, ConnectionTerminated):
            self.transport.close()

    def is_open(self, stream_id: int) -> bool:
        return not self.transport.is_closing() and not self.h2.streams[stream_id].closed

    def answer(self, stream_id: int, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self.is_open(stream_id):
            self.h2.send_headers(stream_id, [(b":status", str(status).encode()), *headers])

    def finish(self, stream_id: int, body: bytes) -> None:
        if self.is_open(stream_id):
            self.h2.send_data(stream_id, body, end_stream=True)
        self.forget(stream_id)

    def fail(self, stream_id: int, mode: str) -> None:
        if mode == "reset" and self.is_open(stream_id):
            self.h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        elif mode == "GOAWAY" and self.last_id is None:
            self.say_goodbye(stream_id)
        self.forget(stream_id)

    def say_goodbye(self, refused_id: int) -> None:
        """What came before is answered, what comes later or is refused here was never processed."""
        others = [other.id for other in self.streams.values() if other.is_running and other.id != refused_id]
        self.last_id = max(others, default=max(0, refused_id - 2))
        if refused_id < self.last_id and self.is_open(refused_id):
            self.h2.reset_stream(refused_id, ErrorCodes.REFUSED_STREAM)
        self.flush()
        # By hand: after its own goodbye the library would not answer the streams that came before.
        self.transport.write(GoAwayFrame(0, last_stream_id=self.last_id).serialize())

    def forget(self, stream_id: int) -> None:
        del self.streams[stream_id]
        self.flush()
        if self.last_id is not None and not any(before <= self.last_id for before in self.streams):
            self.transport.close()


class H2Front:
    """Serves `app` on the running loop from `start` to `stop`."""

    def __init__(self, app: App, certificate: Path, key: Path) -> None:
        self._app = app
        self._connections: set[_Connection] = set()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._context.set_alpn_protocols(["h2"])

    async def start(self, sock: socket.socket) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self._app, self._connections), sock=sock, ssl=self._context
        )

    async def stop(self) -> None:
        self._server.close()
        for connection in tuple(self._connections):
            connection.transport.abort()
        await asyncio.sleep(0)
