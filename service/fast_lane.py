"""The two hot routes served on the connection, ahead of ASGI and Litestar, which serve everything else, and these too when WELLTIMED_FAST_LANE is 0.

What a request has to be, how it is answered and how it is refused comes from the same functions as in the typed controllers
(tests/contract/test_fast_lane.py sends the same requests through both). What is saved is the way there and back: a task and messages for
each request, routing, middleware, signature, response object. What is unusual (a query, a body without a length or too long, 100-continue,
a large body from somebody unknown, who is refused there before it has come) goes the other way.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from schema.decision import DecisionRequest
from schema.problem import FieldError
from service import errors, guards
from service.batching import stopping
from service.errors import ApiError
from service.guards import Principal
from service.hot_request import HotRequest
from service.resources import Resources
from service.routes import decisions, events
from service.routes.acting import REPLAYED, has_key
from service.routes.call import Call, Pending, Reply

UNKNOWN_BODY_BYTES_MAX: Final = 16 * 1024
"""What is taken of a body before it is known whose it is: here the key is looked at when the body has come."""

_ASKED: Final = msgspec.json.Decoder(DecisionRequest)


class _Route(NamedTuple):
    """A hot route: its path, whom it lets in, how long a body it takes, and what it does."""

    path: str
    scope: str
    sk_scope: str | None
    body_bytes_max: int
    act: Callable[[Resources, Call], Pending[Any]]


class FastLane:
    """Takes POST to the exact path of a hot route, with a body of a stated length."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def takes(self, target: bytes, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a POST is served here."""
        route = _ROUTES.get(target)
        if route is None or b"transfer-encoding" in headers or b"expect" in headers:
            return False
        told = headers.get(b"content-length", b"")
        if not told.isdigit():
            return False
        length = int(told)
        return length <= UNKNOWN_BODY_BYTES_MAX or (length <= route.body_bytes_max and self._is_known(headers))

    def _is_known(self, headers: Mapping[bytes, bytes]) -> bool:
        try:
            return self._resources.access.known(guards.secret_of(headers)) is not None
        except ApiError:
            return False

    def serve(self, request: HotRequest) -> None:
        """Begins to serve a request whose body is here; its answer comes at once or later."""
        route, access = _ROUTES[request.target], self._resources.access
        try:
            key = access.known(guards.secret_of(request.headers))
            if key is None:  # or it is time to read them again
                request.begin(self._ask(route, request))
                return
            pending = self._act(
                route, request, guards.principal_of(access, key, request.headers, route.scope, route.sk_scope)
            )
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is told in one shape
            _refuse(route, request, error)
        else:
            _wait(route, request, pending)

    async def _ask(self, route: _Route, request: HotRequest) -> None:
        try:
            principal = await guards.admit(self._resources.access, request.headers, route.scope, route.sk_scope)
            pending = self._act(route, request, principal)
        except Exception as error:  # noqa: BLE001 - as above
            _refuse(route, request, error)
        else:
            _wait(route, request, pending)

    def _act(self, route: _Route, request: HotRequest, principal: Principal) -> Pending[Any]:
        guards.check_media_type(request.headers, guards.JSON)
        return route.act(self._resources, Call(principal, request.headers, "POST", route.path, "", request.take_body()))


def _wait(route: _Route, request: HotRequest, pending: Pending[Any]) -> None:
    coming = pending.coming if isinstance(pending.coming, asyncio.Future) else request.begin(pending.coming)
    coming.add_done_callback(partial(_tell, route, request, pending.reply_of))


def _tell(route: _Route, request: HotRequest, reply_of: Callable[[Any], Reply], done: asyncio.Future[Any]) -> None:
    try:
        reply = reply_of(done.result())
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - as above; cancelled is who is still here when a worker's time to stop is over
        _refuse(route, request, error)
    else:
        head = _head_of(request, _REPLAYED_JSON if reply.is_replay else _JSON, reply.answer.body)
        request.answer(reply.answer.status, head, reply.answer.body)


def _refuse(route: _Route, request: HotRequest, error: BaseException) -> None:
    leaving = errors.told(error if isinstance(error, Exception) else stopping(), request.scope, route.path)
    body = errors.problem_of(leaving, errors.request_id_of(request.scope))
    more = b"".join([_line(name, text) for name, text in errors.headers_of(leaving).items()])
    request.answer(leaving.status, _head_of(request, more + _PROBLEM, body), body)


def _line(name: str, text: str) -> bytes:
    return f"{name.lower()}: {text}\r\n".encode()


def _head_of(request: HotRequest, named: bytes, body: bytes) -> bytes:
    guarded = _GUARDED_HTTPS if request.is_https else _GUARDED
    return b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b" % (
        named,
        len(body),
        errors.request_id_of(request.scope, request.headers).encode(),
        guarded,
    )


_JSON: Final = _line("content-type", "application/json")
_PROBLEM: Final = _line("content-type", errors.MEDIA_TYPE)
_REPLAYED_JSON: Final = b"".join([_line(*item) for item in REPLAYED.items()]) + _JSON
_GUARDED, _GUARDED_HTTPS = (
    b"".join([b"%b: %b\r\n" % line for line in guards.security_headers(scheme)]) for scheme in ("http", "https")
)


def _decide(resources: Resources, call: Call) -> Pending[Any]:
    if not call.body:
        detail = errors.BODY_REQUIRED
        raise ApiError(400, "invalid_field", detail, [FieldError(pointer="", code="invalid_field", detail=detail)])
    asked = errors.decode(call.body, _ASKED)
    if has_key(call):
        return Pending(decisions.decide(resources.decisions, call, asked), _as_it_is)
    return decisions.begin(resources.decisions, call, asked)


def _take(resources: Resources, call: Call) -> Pending[Any]:
    return Pending(events.take(resources.intake, call), _as_it_is)


def _as_it_is(reply: Reply) -> Reply:
    return reply


def _route(path: str, opt: Mapping[str, Any], act: Callable[[Resources, Call], Pending[Any]]) -> _Route:
    bytes_max = opt.get("body_bytes_max", guards.BODY_BYTES_MAX)
    return _Route(path, opt["scope"], opt["sk_scope"], bytes_max, act)


_ROUTES: Final = {
    decisions.PATH.encode(): _route(decisions.PATH, decisions.OPT, _decide),
    events.PATH.encode(): _route(events.PATH, events.OPT, _take),
}
