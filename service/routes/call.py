"""What a hot route needs of a request, by whichever lane it came: the typed controller's or the fast one (service.fast_lane)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from litestar import Request

from service.guards import Principal
from service.store.idempotency import Answer


class Call(NamedTuple):
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
