"""A request that is served on its connection without an application: no task, no messages, one write for the whole answer."""

import asyncio
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.early_answers import Nobody

_CLOSE: Final = b"connection: close\r\n\r\n"
_END: Final = b"\r\n"

Lines = list[tuple[bytes, bytes]]
T = TypeVar("T")


class Place(Protocol):
    """A place in a lane of requests (service.admission)."""

    def leave(self) -> None: ...

    def step_out(self) -> None: ...

    def step_in(self) -> None: ...


class HotRequest:
    """Stands where uvicorn keeps what is being answered, from its head to its answer; one of POST with a length.

    `scope` is uvicorn's, for what is told of any request. While the body is on its way it takes no place in its lane: else clients that
    send half of one would fill it.
    """

    message_event = Nobody()

    __slots__ = (
        "_body",
        "_connection",
        "_place",
        "disconnected",
        "headers",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "target",
    )

    def __init__(
        self, connection: Any, target: bytes, headers: dict[bytes, bytes], place: Place | None, *, keep_alive: bool
    ) -> None:
        self._connection = connection
        self._place = place
        self._body: bytes | bytearray = b""
        self.target = target
        self.headers = headers
        self.scope = connection.scope
        self.keep_alive = keep_alive
        self.more_body = True
        self.response_started = self.response_complete = False
        self.disconnected = False  # uvicorn says so when the client has gone
        if place is not None:
            place.step_out()

    @property
    def is_https(self) -> bool:
        """Whether it came over TLS."""
        return self.scope["scheme"] == "https"  # type: ignore[no-any-return] # the scope of ASGI is untyped

    def is_whole_with(self, piece: bytes) -> bool:
        """Whether this first piece of the body is all of it."""
        return not self._body and len(piece) == int(self.headers[b"content-length"])

    def add(self, piece: bytes) -> None:
        """A piece of the body; most come in one."""
        if not self._body:
            self._body = piece
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += piece

    def complete(self) -> None:
        """The body is here whole."""
        self.more_body = False
        if self._place is not None:
            self._place.step_in()

    def take_body(self) -> bytes:
        """The body, of which nothing is kept here: many requests wait for their batch."""
        body, self._body = bytes(self._body), b""
        return body

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Works at it in a task, for which a server that stops waits as for those of its application, and which it cancels in the end."""
        connection = self._connection
        task: asyncio.Task[T] = connection.loop.create_task(work)
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)
        return task

    def drop(self) -> None:
        """Its connection is gone; what has been begun for it goes on, and its answer goes nowhere."""
        if self.more_body:
            self.complete()
            self._leave()

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """Sends the answer: `head` are its lines of headers, each with its end."""
        self.response_started = self.response_complete = True
        self._leave()
        connection, self._connection = self._connection, None  # else the last one of a connection were a cycle with it
        if not connection.transport.is_closing():
            lines = _joined(connection.server_state.default_headers)
            end = _END if self.keep_alive else _CLOSE
            connection.transport.write(b"".join((STATUS_LINE[status], lines, head, end, body)))
            if not self.keep_alive:
                connection.transport.close()
        connection.on_response_complete()

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.leave()


def _joined(lines: Lines) -> bytes:
    """What every answer says; uvicorn makes it anew each second."""
    return _block(tuple(lines))


@lru_cache(maxsize=4)
def _block(lines: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([b"%b: %b\r\n" % line for line in lines])
