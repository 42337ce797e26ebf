"""One keep-alive HTTP/1.1 connection, as lean as asyncio allows: the generator must not be the bottleneck."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

_HEAD_ENDS: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_CLOSE: Final = b"\r\nconnection: close"
_STATUS: Final = slice(9, 12)  # of "HTTP/1.1 200 OK"
OK: Final = 200
REFUSALS: Final = (429, 503)
"""Come back later."""
ADDRESSES: Final = 16
GONE: Final = 0
"""Told in place of a status when the connection closed before the answer had come."""


class WireError(Exception):
    """The server answered with something this client does not read."""


class Caller(NamedTuple):
    """Where requests go and the key they carry."""

    port: int
    key: str

    def post(self, path: str, body: bytes, content_type: str = "application/json", **headers: str) -> bytes:
        """The bytes of a POST."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return request(
            "POST", path, {"authorization": f"Bearer {self.key}", "content-type": content_type, **named}, body
        )


def request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The bytes of one request with a body."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {text}" for name, text in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """Sends one request at a time and tells `answered(connection, status)` of each answer; `body` is the last one's.

    `tag` belongs to the caller: which request is under way; `asked` is that request. `head` is the last answer's, in lower case.
    """

    def __init__(self, answered: Callable[["Connection", int], None]) -> None:
        self.tag = -1
        self.asked = b""
        self.body = b""
        self.head = b""
        self._answered = answered
        self._transport: Any = None  # uvloop's is no subclass of asyncio's
        self._received = b""
        self._is_waiting = False

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None

    def connection_made(self, transport: Any) -> None:
        """Called by the loop."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio calls it so
        """Called by the loop; a request under way has failed."""
        self._transport = None
        if self._is_waiting:
            self._is_waiting = False
            self._answered(self, GONE)

    def send(self, request_bytes: bytes) -> None:
        """Sends a request; on a closed connection it has failed at once."""
        if self._transport is None:
            asyncio.get_running_loop().call_soon(self._answered, self, GONE)
            return
        self._is_waiting = True
        self.asked = request_bytes
        self._transport.write(request_bytes)

    def close(self) -> None:
        """Closes without waiting; no answer is told any more."""
        self._is_waiting = False
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        """Called by the loop; answers mostly come in one piece."""
        received = self._received + data if self._received else data
        head_ends = received.find(_HEAD_ENDS)
        if head_ends < 0:
            self._received = received
            return
        body_at = head_ends + len(_HEAD_ENDS)
        head = received[:head_ends].lower()
        length = _content_length(head)
        if len(received) < body_at + length:
            self._received = received
            return
        self._received = b""
        self.head = head
        self.body = received[body_at : body_at + length]
        self._is_waiting = False
        if _CLOSE in head:
            self.close()
        self._answered(self, int(received[_STATUS]))


def _content_length(head: bytes) -> int:
    at = head.find(_LENGTH)
    if at < 0:
        raise WireError(f"an answer without content-length: {head[:80]!r}")
    return int(head[at + len(_LENGTH) :].partition(b"\r\n")[0])


async def connect(port: int, answered: Callable[[Connection, int], None], place: int = 0) -> Connection:
    """Opens a connection to a port of this machine; nothing else is ever called.

    It comes from one of ADDRESSES addresses, by its place: a crowd of phones has many, and a server may bound how much comes from one.
    """
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(answered), "127.0.0.1", port, local_addr=(f"127.0.0.{1 + place % ADDRESSES}", 0)
    )
    return connection


async def ask(port: int, request_bytes: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own: status and body."""
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    connection = await connect(port, lambda _, status: done.set_result(status))
    try:
        connection.send(request_bytes)
        return await done, connection.body
    finally:
        connection.close()
