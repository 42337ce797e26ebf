"""POSTs that act at most once for an Idempotency-Key."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request, Response
from litestar.enums import MediaType

from service.errors import invalid_field
from service.guards import Principal
from service.store.idempotency import Answer, Attempt, once

T = TypeVar("T", bound=msgspec.Struct)

_ENCODER: Final = msgspec.json.Encoder()
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")


def same(made: T) -> T:
    """Keeps an answer as it is."""
    return made


async def act_once(
    request: Request[Any, Any, Any],
    pool: Any,
    now: datetime,
    effect: Callable[[Any], Awaitable[T]],
    *,
    status: int,
    kept_as: Callable[[T], T] = same,
) -> Response[T]:
    """Runs `effect(connection)` in a transaction and answers with what it returns.

    With an Idempotency-Key the answer is stored in that transaction; the same request later gets it again, with
    `Idempotent-Replayed: true`. `kept_as` takes out what must not be stored. Raises what `effect` raises (nothing is
    stored then), and ApiError 400, 409 or 422 for the key.
    """
    attempt = await attempt_of(request)
    async with once(pool, attempt, now) as this:
        if this.kept is not None:
            return response_of(this.kept, is_replay=True)
        made = await effect(this.connection)
        await this.keep(Answer(status, _ENCODER.encode(kept_as(made))))
    return response_of(Answer(status, _ENCODER.encode(made)))


def has_key(request: Request[Any, Any, Any]) -> bool:
    """Whether an Idempotency-Key came along, found out without making a mapping of the headers."""
    return any(name == b"idempotency-key" for name, _ in request.scope["headers"])


async def attempt_of(request: Request[Any, Any, Any]) -> Attempt:
    """The attempt that a request is. Raises ApiError 400 for a bad Idempotency-Key."""
    principal: Principal = request.scope["state"]["principal"]
    key = request.headers.get("idempotency-key")
    if key is None:
        return Attempt(principal.key_id, principal.user_external_id, None, b"")
    if not _KEY.fullmatch(key):
        raise invalid_field("header:Idempotency-Key", "An Idempotency-Key has 1 to 128 visible ASCII characters.")
    asked = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    asked.update(await request.body())
    return Attempt(principal.key_id, principal.user_external_id, key, asked.digest())


def response_of(answer: Answer, *, is_replay: bool = False) -> Response[Any]:
    """An answer as it is sent."""
    headers = {"Idempotent-Replayed": "true"} if is_replay else {}
    # The bytes are the JSON of a T: told so, that the OpenAPI document names it.
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON, headers=headers)
