"""A scripted HTTP/2 server over TLS on 127.0.0.1: what a request's body says is how its stream or connection ends."""

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset

CHUNK_BYTES = 65536


@dataclass
class Seen:
    """What reached the server: connections opened, whole bodies in order, most streams at once; and bytes of long answers that left it."""

    connections: int = 0
    bodies: list[bytes] = field(default_factory=list)
    streams_at_once: int = 0
    told_bytes: int = 0


class _Connection(asyncio.Protocol):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.open: dict[int, bytes] = {}
        self.untold: dict[int, int] = {}
        self.unanswered = 0
        self.is_going = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.seen.connections += 1
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.is_going:
            return
        for event in self.h2.receive_data(data):
            if isinstance(event, RequestReceived):
                self.open[event.stream_id] = b""
                self.unanswered += 1
                self.seen.streams_at_once = max(self.seen.streams_at_once, self.unanswered)
            elif isinstance(event, DataReceived):
                self.open[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                body = self.open.pop(event.stream_id)
                self.seen.bodies.append(body)
                self.end(event.stream_id, body)
            elif isinstance(event, StreamReset):
                self.untold.pop(event.stream_id, None)
        self.go_on()
        self.flush()

    def end(self, stream_id: int, body: bytes) -> None:
        if body.startswith(b"refuse"):
            self.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
        elif body.startswith(b"reset-stream"):
            self.h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
        elif body.startswith(b"abort"):
            self.transport.abort()
        elif body.startswith(b"close"):
            self.transport.close()
        elif body.startswith(b"leave"):
            self.leave(stream_id, body)
        elif body.startswith(b"goaway"):
            self.h2.close_connection(last_stream_id=max(0, stream_id - 2))
            self.is_going = True
        elif body.startswith(b"big-"):
            self.h2.send_headers(stream_id, [(":status", "200"), ("content-type", "application/json")])
            self.untold[stream_id] = int(body[4:])
        elif not body.startswith(b"hang"):
            asyncio.get_running_loop().call_later(0.01, self.answer, stream_id)

    def leave(self, stream_id: int, body: bytes) -> None:
        """The connection ends with all of its streams, which it has taken on; `leave-low` took on none after the first."""
        below = self.transport._ssl_protocol._transport  # type: ignore[attr-defined] # without a word of TLS
        ends = {
            b"leave-close": self.transport.close,
            b"leave-abort": self.transport.abort,
            b"leave-fin": below.close,
            b"leave-rst": below.abort,
        }
        if body in ends:
            ends[body]()
        elif body == b"leave-garbage":
            self.transport.write(b"\x00\x00\x05\x00\x00\x00\x00\x00\x00hello")
        else:
            code = ErrorCodes.INTERNAL_ERROR if body == b"leave-error" else ErrorCodes.NO_ERROR
            self.h2.close_connection(error_code=code, last_stream_id=1 if body == b"leave-low" else stream_id)
            self.flush()
            self.transport.close()

    def go_on(self) -> None:
        """Long answers go out as far as their receiver lets them."""
        for stream_id in list(self.untold):
            while (size := min(self.untold[stream_id], self.h2.local_flow_control_window(stream_id), 16_384)) > 0:
                self.untold[stream_id] -= size
                self.seen.told_bytes += size
                self.h2.send_data(stream_id, b" " * size, end_stream=not self.untold[stream_id])
            if not self.untold[stream_id]:
                del self.untold[stream_id]

    def answer(self, stream_id: int) -> None:
        if self.transport.is_closing():
            return
        self.unanswered -= 1
        self.h2.send_headers(stream_id, [(":status", "200"), ("content-type", "application/json")])
        self.h2.send_data(stream_id, b'{"name":"n"}', end_stream=True)
        self.flush()


class H2Server:
    """`async with H2Server(certificate, key) as server:` then `server.port` and `server.seen`."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(certificate, key)
        self.context.set_alpn_protocols(["h2"])
        self.seen = Seen()

    async def __aenter__(self) -> Self:
        self.server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self.seen), "127.0.0.1", 0, ssl=self.context
        )
        self.port: int = self.server.sockets[0].getsockname()[1]
        return self

    async def wait_for(self, body: bytes, count: int = 1) -> None:
        """Until `count` whole bodies that begin so have come."""
        async with asyncio.timeout(5):
            while sum(seen.startswith(body) for seen in self.seen.bodies) < count:
                await asyncio.sleep(0.01)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.close()
