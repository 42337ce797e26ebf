"""Answers that no application is asked for: the bytes by which a connection refuses."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.errors import MEDIA_TYPE, ApiError, headers_of, problem_of

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of a request, while it is not whole."""


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


TOO_SLOW: Final = of(ApiError(408, "request_timeout", "The request did not arrive in time; send it again."))
HEAD_TOO_LARGE: Final = of(
    ApiError(431, "headers_too_large", f"The head of a request may have at most {HEAD_BYTES_MAX} bytes.")
)
TOO_MANY: Final = of(ApiError(503, "overloaded", "Too many connections are open; try again.", retry_after_s=1))


class Refused:
    """Stands where uvicorn keeps what is being answered, for a request that was answered before it began: its body is passed over."""

    response_started = response_complete = True
    more_body = keep_alive = False

    def __init__(self) -> None:
        self.message_event = asyncio.Event()
