"""What a hot route needs of a request, by whichever lane it came: the typed controller's or the fast one (service.fast_lane)."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from litestar import Request

from service.guards import Principal
from service.store.idempotency import Answer

T = TypeVar("T")


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request that has been let in; of a header that comes twice the last counts. `query` has no `?`."""

    principal: Principal
    headers: Mapping[bytes, bytes]
    method: str
    path: str
    query: str
    body: bytes


class Reply(NamedTuple):
    """An answer of success; `is_replay` when it was kept under the request's Idempotency-Key."""

    answer: Answer
    is_replay: bool = False


class Pending(NamedTuple, Generic[T]):
    """A reply on its way: what is waited for, and what makes the reply of it, or raises ApiError to refuse."""

    coming: asyncio.Future[T] | Coroutine[Any, Any, T]
    reply_of: Callable[[T], Reply]


async def call_of(request: Request[Any, Any, Any]) -> Call:
    """The call that a request to a typed controller is."""
    scope = request.scope
    return Call(
        principal=scope["state"]["principal"],
        headers=dict(scope["headers"]),
        method=request.method,
        path=request.url.path,
        query=request.url.query,
        body=await request.body(),
    )
