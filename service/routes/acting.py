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
from service.routes.call import Call, call_of
from service.store.idempotency import Answer, Attempt, once

T = TypeVar("T", bound=msgspec.Struct)

REPLAYED: Final = {"Idempotent-Replayed": "true"}
"""The header of an answer that was kept under an Idempotency-Key."""

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


async def attempt_of(request: Request[Any, Any, Any]) -> Attempt:
    """The attempt that a request is. Raises ApiError 400 for a bad Idempotency-Key."""
    return attempt(await call_of(request))


def has_key(call: Call) -> bool:
    """Whether an Idempotency-Key came along."""
    return b"idempotency-key" in call.headers


def attempt(call: Call) -> Attempt:
    """As `attempt_of`."""
    principal, sent = call.principal, call.headers.get(b"idempotency-key")
    if sent is None:
        return Attempt(principal.key_id, principal.user_external_id, None, b"")
    key = sent.decode("latin-1")
    if not _KEY.fullmatch(key):
        raise invalid_field("header:Idempotency-Key", "An Idempotency-Key has 1 to 128 visible ASCII characters.")
    asked = hashlib.sha256(f"{call.method} {call.path}?{call.query}\n".encode())
    asked.update(call.body)
    return Attempt(principal.key_id, principal.user_external_id, key, asked.digest())


def response_of(answer: Answer, *, is_replay: bool = False) -> Response[Any]:
    """An answer as it is sent."""
    headers = REPLAYED if is_replay else {}
    # The bytes are the JSON of a T: told so, that the OpenAPI document names it.
    return Response(answer.body, status_code=answer.status, media_type=MediaType.JSON, headers=headers)
