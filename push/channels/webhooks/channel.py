"""Webhooks as a channel: one signed POST a message, by the Standard Webhooks specification (https://www.standardwebhooks.com).

The receiver knows a message again by its `webhook-id`, which is that of the outbox: what may have been taken is sent again without harm.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import certifi
import httpx
import msgspec
from standardwebhooks import Webhook

from push.channel import Accepted, Message, NotProcessed, Outcome, Rejected, RetryAfter, Unknown
from push.channels.delivery_claim import Delivery
from push.channels.webhooks import endpoints
from push.channels.webhooks.address import Refused, Target, target_of
from push.channels.webhooks.endpoints import Signed
from push.meter import EXPIRED
from push.sealing import NotOpened, Unseal, about_webhook, plain
from schema.ids import instant_of

DEADLINE_S: Final = 10.0
CONNECT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 16 * 1024
"""Of an answer's body nothing is used; more than this closes the connection."""

IN_FLIGHT_MAX: Final = 64
CLIENTS_MAX: Final = 256
RETRY_S: Final = 5.0
RETRY_MAX_S: Final = 3600.0
GONE: Final = "GONE"

_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


class WebhookChannel:
    """Posts to endpoints; the address of a message is the name of one. Their URLs and secrets are read anew for each batch."""

    name = account = "webhook"

    def __init__(
        self, pool: Any, *, may_be_local: bool = False, ca_file: Path | None = None, unseal: Unseal = plain
    ) -> None:
        """`may_be_local` lets http and loopback through, for tests and a receiver next door; `unseal` opens the secrets."""
        self._pool = pool
        self._unseal = unseal
        self._may_be_local = may_be_local
        self._clients: dict[tuple[str, str], httpx.AsyncClient] = {}
        self._places = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._tls = ssl.create_default_context(cafile=str(ca_file or certifi.where()))

    async def open(self) -> None:
        """Connections are made when they are needed."""

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        """Sends all; one outcome a message, in order."""
        async with self._pool.acquire() as connection:
            found = await endpoints.signed(connection, {message.address for message in messages}, now)
        known = {name: _opened(one, self._unseal) for name, one in found.items()}
        targets = dict(zip(known, await asyncio.gather(*(self._target(one) for one in known.values())), strict=True))
        await self._forget()
        return list(await asyncio.gather(*(self._send(one, known, targets, now) for one in messages)))

    async def _target(self, endpoint: Signed) -> Target | Outcome:
        if not endpoint.secret:
            return NotProcessed("its secret cannot be opened")
        try:
            async with asyncio.timeout(CONNECT_S):
                return await target_of(endpoint.url, may_be_local=self._may_be_local)
        except Refused as error:
            return NotProcessed(str(error))
        except (OSError, UnicodeError) as error:
            return NotProcessed(f"the host is not found: {type(error).__name__}")

    async def _send(
        self, message: Message, known: Mapping[str, Signed], targets: Mapping[str, Target | Outcome], now: datetime
    ) -> Outcome:
        endpoint = known.get(message.address)
        if endpoint is None:
            return Rejected("ENDPOINT_GONE", "the webhook was deleted", is_payload_fault=False)
        if message.expires_at <= now:
            return NotProcessed(EXPIRED)
        target = targets[message.address]
        if not isinstance(target, Target):
            return target
        body = body_of(message)
        headers = _headers(endpoint, message.outbox_id, body, target)
        async with self._places:
            return await self._post(endpoint, target, headers, body)

    async def _post(self, endpoint: Signed, target: Target, headers: Mapping[str, str], body: bytes) -> Outcome:
        client = self._client(endpoint)
        outcome: Outcome = NotProcessed("no connection")
        try:
            async with asyncio.timeout(DEADLINE_S):
                for address in target.addresses:
                    outcome = await _attempt(client, target, address, headers, body)
                    if not isinstance(outcome, NotProcessed):
                        break
        except TimeoutError:
            return Unknown("timeout")
        return outcome

    def _client(self, endpoint: Signed) -> httpx.AsyncClient:
        """One a place: a kept connection to an address is of one name's certificate."""
        key = (endpoint.webhook_id, endpoint.url)
        if key not in self._clients:
            timeout = httpx.Timeout(DEADLINE_S, connect=CONNECT_S)
            self._clients[key] = httpx.AsyncClient(
                verify=self._tls, trust_env=False, follow_redirects=False, timeout=timeout
            )
        return self._clients[key]

    async def _forget(self) -> None:
        """Of very many places the oldest are let go, before anything is sent."""
        while len(self._clients) > CLIENTS_MAX:
            await self._clients.pop(next(iter(self._clients))).aclose()


def message_of(row: Delivery) -> Message:
    """What a webhook is told of a delivery; what speaks for a phone is not told."""
    data = {name: text for name, text in row.message["data"].items() if name != "feedback_token"}
    return Message(
        outbox_id=str(row.outbox_id),
        address=row.endpoint,
        address_kind="webhook",
        title=row.message["title"],
        body=row.message["body"],
        data=data | {"user_id": row.known_as, "campaign_id": row.campaign.campaign.campaign_id},
        collapse_id=str(row.outbox_id),
        expires_at=row.expires_at,
        image_url=row.message["image_url"],
    )


def body_of(message: Message) -> bytes:
    """What is posted and signed: the same bytes whenever it is sent again."""
    data = message.data | {
        "title": message.title,
        "body": message.body,
        "image_url": message.image_url,
        "expires_at": message.expires_at,
    }
    return _ENCODER.encode(
        {"type": "offer.decided", "timestamp": instant_of(UUID(message.data["decision_id"])), "data": data}
    )


def _headers(endpoint: Signed, outbox_id: str, body: bytes, target: Target) -> dict[str, str]:
    at, text = datetime.now(UTC), body.decode()
    secrets = [endpoint.secret, *([endpoint.old_secret] if endpoint.old_secret else [])]
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = {"https": 443, "http": 80}[target.scheme]
    return {
        "Host": host if target.port == default else f"{host}:{target.port}",
        "Content-Type": "application/json",
        "User-Agent": "welltimed",
        "Accept-Encoding": "identity",
        "webhook-id": outbox_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(outbox_id, at, text) for secret in secrets),
    }


def _opened(endpoint: Signed, unseal: Unseal) -> Signed:
    """With its secrets in clear; without them when they cannot be opened."""
    about = about_webhook(endpoint.webhook_id)
    try:
        old = None if endpoint.old_secret is None else unseal(endpoint.old_secret, about)
        return endpoint._replace(secret=unseal(endpoint.secret, about), old_secret=old)
    except NotOpened:
        return endpoint._replace(secret="", old_secret=None)


async def _attempt(
    client: httpx.AsyncClient, target: Target, address: str, headers: Mapping[str, str], body: bytes
) -> Outcome:
    place = f"[{address}]" if ":" in address else address
    url = f"{target.scheme}://{place}:{target.port}{target.path}"
    try:
        request = client.build_request(
            "POST", url, headers=dict(headers), content=body, extensions={"sni_hostname": target.host}
        )
        response = await client.send(request, stream=True)
        try:
            await _drain(response)
        finally:
            await response.aclose()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return NotProcessed(type(error).__name__)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Unknown(type(error).__name__)
    return outcome_of(response.status_code, response.headers.get("retry-after"))


async def _drain(response: httpx.Response) -> None:
    """Reads a short answer to its end, so that the connection can be kept."""
    received = 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        if received > ANSWER_BYTES_MAX:
            return


def outcome_of(status: int, retry_after: str | None) -> Outcome:
    """What a status means: taken, come again, or never."""
    if 200 <= status < 300:
        return Accepted(f"HTTP {status}")
    if status in _LATER:
        return RetryAfter(_seconds(retry_after), "message", f"HTTP {status}", is_over_quota=status == 429)
    if status == 410:
        return Rejected(GONE, "HTTP 410", is_payload_fault=False)
    return Rejected(f"HTTP_{status}", f"HTTP {status}", is_payload_fault=False)


def _seconds(retry_after: str | None) -> float:
    if retry_after is None:
        return RETRY_S
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        seconds = float(text)
    else:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return RETRY_S
    return min(max(seconds, RETRY_S), RETRY_MAX_S)
