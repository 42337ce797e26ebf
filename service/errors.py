"""Errors of the API: raised as ApiError, answered as application/problem+json (RFC 9457), logged without bodies."""

import errno
import logging
import os
import random
import re
import traceback
from collections.abc import Mapping
from functools import singledispatch
from typing import Any, Final, TypeVar

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from schema.external_id import ID_PATTERN, ID_RULE
from schema.pointer import place_of_nul, pointer_of
from schema.problem import Code, FieldError, Problem

T = TypeVar("T")

MEDIA_TYPE: Final = "application/problem+json"
FRAMES_MAX: Final = 12
DISK_FULL_RETRY_S: Final = 5
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
BODY_REQUIRED: Final = "A JSON body is required."

_LOG: Final[Any] = structlog.get_logger(area="http")
_ENCODER: Final = msgspec.json.Encoder()
_FOUND_BY_THE_DATABASE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError)
_NUMBERS: Final = random.Random(os.urandom(16))  # noqa: S311 - it tells requests apart and guards nothing
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,64}")
_CODES: Final[Mapping[int, Code]] = {
    400: "invalid_body",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "not_found",
    409: "conflict",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "overloaded",
    503: "unavailable",
}


class ApiError(Exception):
    """An answer other than success: HTTP status, stable code, what to do in words, and the fields that are wrong."""

    def __init__(
        self,
        status: int,
        code: Code,
        detail: str,
        errors: list[FieldError] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.retry_after_s = retry_after_s


def field_error(message: str) -> FieldError:
    """One FieldError out of a message of msgspec."""
    pointer, detail = pointer_of(message)
    if repr(ID_PATTERN) in detail:
        detail = ID_RULE
    is_unknown = detail.startswith("Object contains unknown field")
    return FieldError(pointer=pointer, code="unknown_field" if is_unknown else "invalid_field", detail=detail)


def invalid_field(pointer: str, detail: str, code: Code = "invalid_field") -> ApiError:
    """A 400 about one field."""
    return ApiError(400, code, detail, [FieldError(pointer=pointer, code=code, detail=detail)])


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decodes a JSON body; every way in which it can be wrong is an ApiError 400: malformed_json, invalid_field or unknown_field."""
    nul = place_of_nul(body)
    if nul is not None:
        raise invalid_field(nul, "Text must not hold the NUL character (\\u0000).")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translate(error) from None


@singledispatch
def translate(_error: Exception) -> ApiError:
    """The ApiError by which any exception leaves: 500 internal unless its type is known."""
    return ApiError(500, "internal", "Something went wrong on our side; quote the request_id when you ask about it.")


@translate.register
def _(error: ApiError) -> ApiError:
    return error


@translate.register
def _(error: HTTPException) -> ApiError:
    if error.status_code in _CODES:
        return ApiError(error.status_code, _CODES[error.status_code], error.detail)
    if error.status_code < 500:
        return ApiError(error.status_code, "invalid_body", error.detail)
    return translate.dispatch(Exception)(error)


@translate.register
def _(error: ValidationException) -> ApiError:
    errors = [_parameter_error(found) for found in error.extra or [] if isinstance(found, dict)]
    return ApiError(400, "invalid_field", errors[0].detail if errors else error.detail, errors)


def _parameter_error(found: dict[str, Any]) -> FieldError:
    # A place outside the body has no JSON pointer: it is told as query:limit or path:key_id.
    source, key = found.get("source"), found.get("key")
    if key == "data":  # Litestar's name for the body, which it did not even hand to a decoder
        return FieldError(pointer="", code="invalid_field", detail=BODY_REQUIRED)
    pointer = f"{getattr(source, 'value', source)}:{key}" if source else ""
    return FieldError(pointer=pointer, code="invalid_field", detail=str(found.get("message", "")))


@translate.register
def _(error: msgspec.ValidationError) -> ApiError:
    found = field_error(str(error))
    code: Code = "unknown_field" if found.code == "unknown_field" else "invalid_field"
    return ApiError(400, code, found.detail, [found])


@translate.register(msgspec.DecodeError)
@translate.register(UnicodeDecodeError)
def _(error: Exception) -> ApiError:
    return ApiError(400, "malformed_json", f"The body is not JSON in UTF-8: {error}.")


@translate.register
def _(_error: RecursionError) -> ApiError:
    return ApiError(400, "malformed_json", "The body is nested too deeply.")


@translate.register(asyncpg.PostgresConnectionError)
@translate.register(asyncpg.OperatorInterventionError)
@translate.register(asyncpg.InsufficientResourcesError)
@translate.register(asyncpg.TransactionRollbackError)
@translate.register(asyncpg.LockNotAvailableError)
@translate.register(asyncpg.InternalClientError)  # its connection was cut at an unlucky moment
@translate.register(OSError)  # TimeoutError is one of them
def _(error: Exception) -> ApiError:
    if is_disk_full(error):
        return disk_full()
    return ApiError(503, "unavailable", "The database does not answer at the moment; try again.", retry_after_s=1)


def is_disk_full(error: Exception) -> bool:
    """Whether PostgreSQL, or this machine, had no room to write."""
    return isinstance(error, asyncpg.DiskFullError) or (isinstance(error, OSError) and error.errno in _NO_ROOM)


def disk_full() -> ApiError:
    """A 503: nothing was done, and it may last."""
    detail = "The disk is full; nothing is written until there is room on it. Try again."
    return ApiError(503, "unavailable", detail, retry_after_s=DISK_FULL_RETRY_S)


@translate.register
def _(_error: asyncpg.CharacterNotInRepertoireError) -> ApiError:
    return ApiError(400, "invalid_field", "Text must not hold the NUL character.")


@translate.register
def _(_error: asyncpg.DataError) -> ApiError:
    # The last net under the checks of every field: which field it is cannot be told here.
    return ApiError(
        400, "invalid_field", "A value lies outside of what can be stored, such as an instant after the year 9999."
    )


@translate.register
def _(error: asyncpg.InterfaceError) -> ApiError:
    # asyncpg has no type of its own for a connection or pool that closed under us; the rest are mistakes of ours.
    kind = asyncpg.PostgresConnectionError if "clos" in str(error) or _is_of_giving_back(error) else Exception
    return translate.dispatch(kind)(error)


def _is_of_giving_back(error: Exception) -> bool:
    """Whether a pool found a connection that it was given back in the middle of something: it was cut at an unlucky moment."""
    code = asyncpg.pool.PoolConnectionHolder.release.__code__
    return any(frame.f_code is code for frame, _ in traceback.walk_tb(error.__traceback__))


def request_id_of(scope: Any, headers: Mapping[bytes, bytes] | None = None) -> str:
    """The X-Request-Id of this request, the same at every call; `headers` are the request's, for who has them by name already."""
    state: dict[str, Any] = scope["state"]
    known: str | None = state.get("request_id")
    if known is None:
        sent = (dict(scope["headers"]) if headers is None else headers).get(b"x-request-id")
        known = state["request_id"] = request_id(sent)
    return known


def request_id(sent: bytes | None) -> str:
    """The client's own when it is well formed, else a new one of ours."""
    if sent is not None and _REQUEST_ID.fullmatch(sent):
        return sent.decode("ascii")
    return f"{_NUMBERS.getrandbits(128):032x}"


def problem_of(error: ApiError, request_id: str) -> bytes:
    """The body of an error's answer, as JSON."""
    title = error.code.replace("_", " ").capitalize()
    problem = Problem(
        type=f"urn:welltimed:problem:{error.code}",
        title=title,
        status=error.status,
        code=error.code,
        detail=error.detail,
        request_id=request_id,
        errors=error.errors,
    )
    return _ENCODER.encode(problem)


def headers_of(error: ApiError) -> dict[str, str]:
    """The headers an error's answer carries: Retry-After, WWW-Authenticate."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return headers


def told(error: Exception, scope: Any, route: str) -> ApiError:
    """The ApiError by which an exception leaves; what somebody should look into is logged."""
    leaving = translate(error)
    level = _level_of(error, leaving)
    if level is not None:
        _report(error, leaving, level, request_id_of(scope), route)
    return leaving


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    leaving = told(error, request.scope, request.scope.get("path_template", ""))
    body = problem_of(leaving, request_id_of(request.scope))
    return Response(body, status_code=leaving.status, media_type=MEDIA_TYPE, headers=headers_of(leaving))


def _level_of(error: Exception, leaving: ApiError) -> int | None:
    """How loud an error is: nothing for what a client did or what we answer on purpose, a warning where a check is missing."""
    if leaving.code == "internal" or (leaving.status >= 500 and leaving is not error):
        return logging.ERROR
    return logging.WARNING if isinstance(error, _FOUND_BY_THE_DATABASE) else None


def _report(error: Exception, leaving: ApiError, level: int, request_id: str, route: str) -> None:
    # The message of an exception may quote what a client sent: only its type and where it came from are logged.
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    _LOG.log(
        level,
        "request failed",
        request_id=request_id,
        route=route,
        status=leaving.status,
        error=f"{type(error).__module__}.{type(error).__qualname__}",
        frames=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
