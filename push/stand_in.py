"""A local stand-in for FCM v1: an ASGI app with a token endpoint, messages:send, and an inbox that phones can poll.

The prefix of an address chooses how its device behaves: gone-, bad-, sender-, apns-, quota-, int-, down- are refused as
FCM refuses them; slow- receives and answers late; hang- receives and never answers; any other receives.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from push.stand_in_account import TOKEN_LIFE_S, Issuer
from push.stand_in_inbox import Inbox
from push.stand_in_verdict import UNAUTHENTICATED, WRONG_PROJECT, Refusal, SentMessage, judge, read_request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FEED_MAX: Final = 1_000_000  # about 1.5 kB each, if every device has one
DEVICE_MAX: Final = 100  # as many as FCM keeps for a phone that is off

_BODY_BYTES_MAX = 65536
_FEED_LIMIT = 1000
_FEED_LIMIT_MAX = 10_000

_encode = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True):
    """What to answer; the body is JSON."""

    status: int
    body: bytes
    retry_after_s: int | None = None


_NOT_FOUND: Final = Answer(404, Refusal(404, "NOT_FOUND", "Requested entity was not found.").body())


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
        self.posts = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = await _read(receive)
        answer = Answer(413, b"{}") if body is None else await self._answer(scope, body, receive)
        if answer is not None:
            await _write(send, answer)

    async def _answer(self, scope: Scope, body: bytes, receive: Receive) -> Answer | None:
        method, path = scope["method"], scope["path"]
        if method == "POST" and path.endswith("/messages:send"):
            return await self._send(scope, body, receive)
        if method == "POST" and path == "/token":
            return self._grant(body)
        if method == "GET" and path == "/inbox":
            return self._feed(scope["query_string"])
        if method == "GET" and path.startswith("/inbox/"):
            return Answer(200, _encode({"messages": self.inbox.device(path.removeprefix("/inbox/"))}))
        if method == "GET" and path == "/counters":
            counters = {"posts": self.posts, "received": self.inbox.count, "tokens": self.issuer.granted}
            return Answer(200, _encode(counters))
        return _NOT_FOUND

    async def _send(self, scope: Scope, body: bytes, receive: Receive) -> Answer | None:
        self.posts += 1
        refusal = self._refuse_caller(scope)
        request = read_request(body) if refusal is None else refusal
        if isinstance(request, Refusal):
            return _refuse(request)
        envelope, message = request
        refusal = judge(message)
        if refusal is not None:
            return _refuse(refusal)
        name = f"projects/{self._project}/messages/0:{secrets.token_hex(16)}"
        if envelope.validate_only:
            return Answer(200, _encode({"name": f"projects/{self._project}/messages/fake_message_id"}))
        await self._receive(message, name, bytes(envelope.message))
        if message.address.startswith("hang-"):
            await _hang(receive)
            return None
        if message.address.startswith("slow-"):
            await asyncio.sleep(self._slow_s)
        return Answer(200, _encode({"name": name}))

    def _refuse_caller(self, scope: Scope) -> Refusal | None:
        authorization = next((value for key, value in scope["headers"] if key == b"authorization"), b"")
        if not self.issuer.accepts(authorization.decode("latin-1")):
            return UNAUTHENTICATED
        return None if scope["path"] == self._send_path else WRONG_PROJECT

    async def _receive(self, message: SentMessage, name: str, raw: bytes) -> None:
        is_visible = message.notification is not None
        received_at = await self._now()
        self.inbox.put(message.address, received_at, name, message.tag, is_visible=is_visible, message=raw)

    def _grant(self, body: bytes) -> Answer:
        token = self.issuer.grant(body)
        if token is None:
            return Answer(400, _encode({"error": "invalid_grant", "error_description": "Invalid JWT."}))
        grant = {"access_token": token, "expires_in": TOKEN_LIFE_S, "token_type": "Bearer"}
        return Answer(200, _encode(grant))

    def _feed(self, query_string: bytes) -> Answer:
        fields = {key: values[0] for key, values in parse_qs(query_string.decode("latin-1")).items()}
        try:
            after, limit = int(fields.get("after", "0")), int(fields.get("limit", str(_FEED_LIMIT)))
        except ValueError:
            return _refuse(Refusal(400, "INVALID_ARGUMENT", "after and limit are numbers", field="after"))
        return Answer(200, _encode(self.inbox.feed(max(0, after), min(max(1, limit), _FEED_LIMIT_MAX))))


def create_stand_in(*, now: Callable[[], Awaitable[datetime]], service_account: Mapping[str, Any]) -> StandIn:
    """An ASGI app that knows one service account (see `make_service_account`); `now` dates what phones receive."""
    return StandIn(now=now, service_account=service_account)


def _refuse(refusal: Refusal) -> Answer:
    return Answer(refusal.http_status, refusal.body(), refusal.retry_after_s)


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


async def _hang(receive: Receive) -> None:
    """Until the client gives up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _write(send: Send, answer: Answer) -> None:
    headers = [(b"content-type", b"application/json; charset=UTF-8")]
    if answer.retry_after_s is not None:
        headers.append((b"retry-after", str(answer.retry_after_s).encode()))
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
