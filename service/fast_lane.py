"""The two hot routes served ahead of Litestar, which serves everything else, and these too when WELLTIMED_FAST_LANE is 0.

What a request has to be, how it is answered and how it is refused comes from the same functions as in the typed controllers
(tests/contract/test_fast_lane.py sends the same requests through both). What is saved is the way through Litestar: routing,
middleware, signature, response object.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from schema.decision import DecisionRequest
from schema.problem import FieldError
from service import errors, guards
from service.errors import ApiError
from service.resources import Resources
from service.routes import decisions, events
from service.routes.acting import REPLAYED
from service.routes.call import Call, Reply

_ASKED: Final = msgspec.json.Decoder(DecisionRequest)
_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", errors.MEDIA_TYPE.encode())

Headers = list[tuple[bytes, bytes]]


class _Route(NamedTuple):
    """A hot route: its path, whom it lets in, how long a body it takes, and what it does."""

    path: str
    scope: str
    sk_scope: str | None
    body_bytes_max: int
    act: Callable[[Resources, Call], Awaitable[Reply]]


class FastLane:
    """An ASGI application in front of another: takes POST to an exact path of a hot route without a query."""

    def __init__(self, inner: ASGIApp, resources: Resources) -> None:
        self._inner: Any = inner  # uvicorn's idea of the types of ASGI is not Litestar's
        self._resources = resources

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers, or hands the request on untouched."""
        route = _ROUTES.get(scope.get("path"))
        if route is None or scope.get("method") != "POST" or scope["query_string"]:
            await self._inner(scope, receive, send)
        else:
            await self._serve(route, scope, receive, send)

    async def _serve(self, route: _Route, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await route.act(self._resources, await self._let_in(route, scope, receive))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is told in one shape
            leaving = errors.told(error, scope, route.path)
            body = errors.problem_of(leaving, errors.request_id_of(scope))
            more = [(name.lower().encode(), text.encode()) for name, text in errors.headers_of(leaving).items()]
            await _send(scope, send, leaving.status, body, [*more, _PROBLEM])
        else:
            headers = [*_REPLAYED, _JSON] if reply.is_replay else [_JSON]
            await _send(scope, send, reply.answer.status, reply.answer.body, headers)

    async def _let_in(self, route: _Route, scope: Scope, receive: Receive) -> Call:
        headers = dict(scope["headers"])
        principal = await guards.admit(self._resources.access, headers, route.scope, route.sk_scope)
        guards.check_announced(headers, route.body_bytes_max, guards.JSON)
        body = await guards.whole_body(receive, route.body_bytes_max)
        return Call(principal, headers, "POST", route.path, "", body)


_REPLAYED: Final = [(name.lower().encode(), text.encode()) for name, text in REPLAYED.items()]


async def _send(scope: Scope, send: Send, status: int, body: bytes, headers: Headers) -> None:
    headers += (
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", errors.request_id_of(scope).encode()),
        *guards.security_headers(scope),
    )
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _decide(resources: Resources, call: Call) -> Reply:
    if not call.body:
        detail = errors.BODY_REQUIRED
        raise ApiError(400, "invalid_field", detail, [FieldError(pointer="", code="invalid_field", detail=detail)])
    return await decisions.decide(resources.decisions, call, errors.decode(call.body, _ASKED))


async def _take(resources: Resources, call: Call) -> Reply:
    return await events.take(resources.intake, call)


def _route(path: str, opt: Mapping[str, Any], act: Callable[[Resources, Call], Awaitable[Reply]]) -> _Route:
    bytes_max = opt.get("body_bytes_max", guards.BODY_BYTES_MAX)
    return _Route(path, opt["scope"], opt["sk_scope"], bytes_max, act)


_ROUTES: Final = {
    decisions.PATH: _route(decisions.PATH, decisions.OPT, _decide),
    events.PATH: _route(events.PATH, events.OPT, _take),
}
