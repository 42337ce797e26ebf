"""Answers that no application is asked for: the bytes by which a connection refuses."""

import re
from typing import Final, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.errors import MEDIA_TYPE, ApiError, headers_of, problem_of

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of a request, while it is not whole."""


_LINES: Final = re.compile(rb"\r\n(?:[A-Za-z0-9-]++:[\t\x20-\x7e\x80-\xff]*+\r\n)++")
_SPECIAL: Final = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade|proxy-connection):")


Lines = list[tuple[bytes, bytes]]


def parts_of(error: ApiError, request_id: str = "") -> tuple[Lines, bytes]:
    """Headers and body; before a request is known it has no id."""
    body = problem_of(error, request_id)
    lines = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *((name.lower().encode(), text.encode()) for name, text in headers_of(error).items()),
    ]
    if request_id:
        lines.append((b"x-request-id", request_id.encode()))
    return lines, body


def of(error: ApiError, request_id: str = "", *, closes: bool = True) -> bytes:
    """The whole answer."""
    lines, body = parts_of(error, request_id)
    if closes:
        lines.append((b"connection", b"close"))
    return b"".join([STATUS_LINE[error.status], *(b"%b: %b\r\n" % line for line in lines), b"\r\n", body])


class Whole(NamedTuple):
    """One request of the plainest kind, whole, so that nobody can take it for another; with the X-Request-Id that it has, or none."""

    request_id: bytes | None


def whole(data: bytes) -> Whole | None:
    """What these bytes are if they are such a request; else None."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head[head.find(b"\r\n") :] + b"\r\n"
    if not end or _LINES.fullmatch(lines) is None:
        return None
    names = lines.lower()
    if _SPECIAL.search(names) is not None:
        return None
    try:
        length = _value(lines, names, b"\r\ncontent-length:")
        connection = _value(lines, names, b"\r\nconnection:")
        request_id = _value(lines, names, b"\r\nx-request-id:")
    except _TwiceError:
        return None
    if length != b"%d" % len(body) or (connection is not None and connection.lower() != b"keep-alive"):
        return None
    return Whole(request_id)


class _TwiceError(Exception):
    """A header that may come once comes again."""


def _value(lines: bytes, names: bytes, name: bytes) -> bytes | None:
    """Of the header of this name, as it is in `names`: the lines in lower case."""
    at = names.find(name)
    if at < 0:
        return None
    if names.find(name, at + 2) >= 0:
        raise _TwiceError
    return lines[at + len(name) : lines.find(b"\r\n", at + 2)].strip(b" \t")


class Refusal:
    """The same refusal for many: all but the id of the request is written once for each length of one."""

    def __init__(self, error: ApiError) -> None:
        self._error = error
        self._around: dict[int, list[bytes]] = {}

    def of(self, request_id: str) -> bytes:
        """The whole answer, after which the connection stays open."""
        around = self._around.get(len(request_id))
        if around is None:
            place = "?" * len(request_id)  # no id has one, and nothing else so many that hang together
            around = self._around[len(request_id)] = of(self._error, place, closes=False).split(place.encode())
        return request_id.encode().join(around)


TOO_SLOW: Final = of(ApiError(408, "request_timeout", "The request did not arrive in time; send it again."))
HEAD_TOO_LARGE: Final = of(
    ApiError(431, "headers_too_large", f"The head of a request may have at most {HEAD_BYTES_MAX} bytes.")
)
TOO_MANY_BODIES: Final = of(
    ApiError(503, "overloaded", "Too many bodies are on their way; try again.", retry_after_s=1)
)
TOO_MANY: Final = of(ApiError(503, "overloaded", "Too many connections are open; try again.", retry_after_s=1))


class Nobody:
    """Who waits for more of a body that no application reads."""

    def set(self) -> None:
        """Nothing needs to be woken."""


class Refused:
    """Stands where uvicorn keeps what is being answered, for a request that was answered before it began: its body is passed over."""

    response_started = response_complete = True
    more_body = keep_alive = False
    message_event = Nobody()
