"""Answers that no application is asked for: the bytes by which a connection refuses."""

import re
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.errors import MEDIA_TYPE, ApiError, headers_of, problem_of

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of a request, while it is not whole."""


_NAME: Final = re.compile(rb"[a-z0-9-]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_SPECIAL: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


def of(error: ApiError, request_id: str = "", *, closes: bool = True) -> bytes:
    """The whole answer; before a request is known it has no id."""
    body = problem_of(error, request_id)
    lines = [f"{name.lower()}: {text}\r\n" for name, text in headers_of(error).items()]
    if request_id:
        lines.append(f"x-request-id: {request_id}\r\n")
    if closes:
        lines.append("connection: close\r\n")
    head = (
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\ncache-control: no-store\r\n"
        f"x-content-type-options: nosniff\r\n{''.join(lines)}\r\n"
    )
    return STATUS_LINE[error.status] + head.encode() + body


def headers_of_whole(data: bytes) -> dict[bytes, bytes] | None:
    """The headers of these bytes if they are one request, whole, of the plainest kind, so that nobody can take them for another; else None."""
    head, end, body = data.partition(b"\r\n\r\n")
    headers: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or name in headers or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        headers[name] = value.strip(b" \t")
    if not end or headers.keys() & _SPECIAL or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return headers if headers.get(b"content-length") == str(len(body)).encode() else None


TOO_SLOW: Final = of(ApiError(408, "request_timeout", "The request did not arrive in time; send it again."))
HEAD_TOO_LARGE: Final = of(
    ApiError(431, "headers_too_large", f"The head of a request may have at most {HEAD_BYTES_MAX} bytes.")
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
