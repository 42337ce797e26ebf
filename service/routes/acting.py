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
    attempt = await _attempt(request)
    async with once(pool, attempt, now) as this:
        if this.kept is not None:
            return _response(this.kept, {"Idempotent-Replayed": "true"})
        made = await effect(this.connection)
        await this.keep(Answer(status, _ENCODER.encode(kept_as(made))))
    return _response(Answer(status, _ENCODER.encode(made)), {})


async def _attempt(request: Request[Any, Any, Any]) -> Attempt:
    principal: Principal = request.scope["state"]["principal"]
    key = request.headers.get("idempotency-key")
    if key is None:
        return Attempt(principal.key_id, None, b"")
    if not _KEY.fullmatch(key):
        raise invalid_field("header:Idempotency-Key", "An Idempotency-Key has 1 to 128 visible ASCII characters.")
    asked = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    asked.update(await request.body())
    return Attempt(principal.key_id, key, asked.digest())


def _response(answer: Answer, headers: dict[str, str]) -> Response[Any]:
    # The bytes are the JSON of a T: told so, that the OpenAPI document names it.
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON, headers=headers)
