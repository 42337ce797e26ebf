"""A local stand-in for FCM v1: an ASGI app with a token endpoint and messages:send; what else it tells is in stand_in_pages.

The prefix of an address chooses how its device behaves: gone-, bad-, sender-, apns-, quota-, int-, down- are refused as
FCM refuses them; slow- receives and answers late; hang- receives and never answers; reset- receives and has its stream reset;
goaway- ends the connection; any other receives. Faults of a token or of the project are set at /faults (stand_in_faults).

A reset stream and a GOAWAY lie below ASGI. A server that can do them says so by the extension `stand_in.fault` and is sent
`{"type": "stand_in.fault", "mode": "reset" | "GOAWAY"}`; under any other the connection breaks off in the middle of an answer.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from push.stand_in.account import TOKEN_LIFE_S, Issuer
from push.stand_in.faults import Fault, Faults
from push.stand_in.inbox import Inbox
from push.stand_in.pages import Answer, Pages, ok, refuse
from push.stand_in.verdict import UNAUTHENTICATED, WRONG_PROJECT, Refusal, SentMessage, judge, read_request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FEED_MAX: Final = 1_000_000  # about 1.5 kB each, if every device has one
DEVICE_MAX: Final = 100  # as many as FCM keeps for a phone that is off

_BODY_BYTES_MAX = 65536
_HEADERS: Final = (
    (b"content-type", b"application/json; charset=UTF-8"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
FAULT_EXTENSION: Final = "stand_in.fault"

_encode = msgspec.json.Encoder().encode


class _Road(NamedTuple):
    """How a request came."""

    scope: Scope
    receive: Receive
    send: Send

    async def break_off(self, mode: str) -> None:
        """Ends the stream or the connection; a server that cannot be told finds an answer that never comes to its end."""
        if FAULT_EXTENSION in self.scope.get("extensions", {}):
            await self.send({"type": FAULT_EXTENSION, "mode": mode})
        else:
            await self.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})

    async def hang(self) -> None:
        """Until the client gives up."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


_NOT_FOUND: Final = refuse(Refusal(404, "NOT_FOUND", "Requested entity was not found."))


class StandIn:
    """The app. `posts` counts requests to messages:send that came whole, whatever became of them."""

    def __init__(
        self,
        *,
        now: Callable[[], Awaitable[datetime]],
        service_account: Mapping[str, Any],
        feed_max: int = FEED_MAX,
        slow_s: float = 8.0,
    ) -> None:
        self._now = now
        self._slow_s = slow_s
        self._send_path = f"/v1/projects/{service_account['project_id']}/messages:send"
        self._project: str = service_account["project_id"]
        self.issuer = Issuer(service_account)
        self.inbox = Inbox(feed_max, DEVICE_MAX)
        self.faults = Faults()
        self.posts = 0
        self._pages = Pages(self.inbox, self.issuer, self.faults, lambda: self.posts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = await _read(receive)
        answer = Answer(413, b"{}") if body is None else await self._answer(scope, body, receive, send)
        if answer is not None:
            await _write(send, answer)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> Answer | None:
        method, path = scope["method"], scope["path"]
        if method == "POST" and path.endswith("/messages:send"):
            return await self._send(scope, body, receive, send)
        if method == "POST" and path == "/token":
            return self._grant(body)
        return self._pages.answer(method, path, scope["query_string"], body) or _NOT_FOUND

    async def _send(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> Answer | None:
        self.posts += 1
        refusal = self._refuse_caller(scope)
        request = read_request(body) if refusal is None else refusal
        if isinstance(request, Refusal):
            return refuse(request)
        envelope, message = request
        refusal = judge(message)
        if refusal is not None:
            return refuse(refusal)
        fault = self.faults.meet(message.address)
        if fault is not None and fault.refusal is not None:
            return refuse(fault.refusal)
        if envelope.validate_only:
            return ok({"name": f"projects/{self._project}/messages/fake_message_id"})
        return await self._deliver(message, bytes(envelope.message), fault, _Road(scope, receive, send))

    async def _deliver(self, message: SentMessage, raw: bytes, fault: Fault | None, road: _Road) -> Answer | None:
        mode = fault.mode if fault else None
        if mode == "GOAWAY":
            await road.break_off("GOAWAY")
            return None
        name = f"projects/{self._project}/messages/0:{secrets.token_hex(16)}"
        await self._receive(message, name, raw)
        if mode == "reset":
            await road.break_off("reset")
            return None
        if mode == "hang":
            await road.hang()
            return None
        if fault is not None and mode == "slow":
            await asyncio.sleep(self._slow_s if fault.delay_s is None else fault.delay_s)
        return ok({"name": name})

    def _refuse_caller(self, scope: Scope) -> Refusal | None:
        authorization = next((value for key, value in scope["headers"] if key == b"authorization"), b"")
        if not self.issuer.accepts(authorization.decode("latin-1")):
            return UNAUTHENTICATED
        return None if scope["path"] == self._send_path else WRONG_PROJECT

    async def _receive(self, message: SentMessage, name: str, raw: bytes) -> None:
        received_at = await self._now()
        self.inbox.put(message.address, received_at, name, message.tag, is_visible=message.is_visible, message=raw)

    def _grant(self, body: bytes) -> Answer:
        token = self.issuer.grant(body)
        if token is None:
            return Answer(400, _encode({"error": "invalid_grant", "error_description": "Invalid JWT."}))
        grant = {"access_token": token, "expires_in": TOKEN_LIFE_S, "token_type": "Bearer"}
        return ok(grant)


def create_stand_in(*, now: Callable[[], Awaitable[datetime]], service_account: Mapping[str, Any]) -> StandIn:
    """An ASGI app that knows one service account (see `make_service_account`); `now` dates what phones receive."""
    return StandIn(now=now, service_account=service_account)


async def _live(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


async def _read(receive: Receive) -> bytes | None:
    """The whole body; none if it is too long."""
    body = bytearray()
    while len(body) <= _BODY_BYTES_MAX:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            return bytes(body)
    return None


async def _write(send: Send, answer: Answer) -> None:
    headers = [*_HEADERS]
    if answer.retry_after_s is not None:
        headers.append((b"retry-after", str(answer.retry_after_s).encode()))
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
