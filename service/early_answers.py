"""Answers that no application is asked for: the bytes by which a connection refuses."""

import re
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.errors import MEDIA_TYPE, ApiError, headers_of, problem_of

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of a request, while it is not whole."""


_LINE: Final = re.compile(rb"([A-Za-z0-9-]+):([\t\x20-\x7e\x80-\xff]*)\r\n")
_BESIDE: Final = len(b":\r\n")
_SPECIAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


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


def headers_of_whole(data: bytes) -> dict[bytes, bytes] | None:
    """The headers of these bytes if they are one request, whole, of the plainest kind, so that nobody can take them for another; else None."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.partition(b"\r\n")[2] + b"\r\n"
    found: list[tuple[bytes, bytes]] = _LINE.findall(lines)
    if not end or sum([len(name) + len(value) + _BESIDE for name, value in found]) != len(lines):
        return None  # something is between them
    headers = {name.lower(): value.strip(b" \t") for name, value in found}
    if len(headers) != len(found) or headers.keys() & _SPECIAL:
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return headers if headers.get(b"content-length") == str(len(body)).encode() else None


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
