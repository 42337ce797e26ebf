"""Firebase Cloud Messaging as a channel: messages of the SDK's types, its answers turned into outcomes.

Nothing outside this package knows firebase-admin. The SDK's own sending is left aside: it repeats POSTs after a timeout, sleeps
on 429 and costs a millisecond a message. Rules of the service: https://firebase.google.com/docs/cloud-messaging
"""

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
from firebase_admin import credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from push.channel import Message, NotProcessed, Outcome, Rejected
from push.fcm.access_token import AccessToken
from push.fcm.message import encode
from push.fcm.transport import Posted, Reply, Transport
from push.fcm.verdict import is_refused_token, outcome_of
from push.meter import EXPIRED

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_TOKEN_TIMEOUT_S = 10.0


class FcmChannel:
    """Sends to one Firebase project, from one event loop."""

    name = "fcm"

    def __init__(
        self,
        service_account: Mapping[str, Any],
        *,
        base_url: str = "https://fcm.googleapis.com",
        ca_file: Path | None = None,
        channel_id: str = "offers",
        in_flight_max: int = 2000,
        deadline_s: float = 15.0,
    ) -> None:
        """Take a service account as downloaded from Firebase; tokens come from its own `token_uri`.

        `channel_id` is the Android notification channel, which the app must have made. Raises ValueError for an
        account that is none.
        """
        certificate = credentials.Certificate(dict(service_account))
        self.account = f"fcm:{certificate.project_id}"
        self._credential = certificate.get_credential().with_scopes([_SCOPE])
        self._is_token_cleartext = str(service_account.get("token_uri", "")).startswith("http:")
        self._channel_id = channel_id
        self._ca_file = ca_file or Path(certifi.where())
        self._token = AccessToken(self._fetch_token)
        self._headers: tuple[str, tuple[str, ...]] = ("", ())
        self._transport = Transport(
            f"{base_url}/v1/projects/{certificate.project_id}/messages:send",
            ca_file=self._ca_file,
            in_flight_max=in_flight_max,
            deadline_s=deadline_s,
        )

    async def open(self) -> None:
        await self._transport.open()

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        """Send all; one outcome a message, in order. A message past its end is not processed, nor one without a token."""
        outcomes: list[Outcome] = [NotProcessed(EXPIRED)] * len(messages)
        places, bodies = [], []
        for place, message in enumerate(messages):
            body = self._body(message, now)
            if isinstance(body, bytes):
                places.append(place)
                bodies.append(body)
            else:
                outcomes[place] = body
        for place, reply in zip(places, await self._post(bodies), strict=True):
            outcomes[place] = outcome_of(reply) if isinstance(reply, Reply) else reply
        return outcomes

    async def close(self) -> None:
        await self._transport.close()
        await self._token.close()

    def _body(self, message: Message, now: datetime) -> bytes | Outcome:
        if message.expires_at <= now:
            return NotProcessed(EXPIRED)
        if not message.address:
            return Rejected("INVALID_ARGUMENT", "the address is empty", is_payload_fault=False)
        try:
            return encode(message, now, self._channel_id)
        except ValueError as error:
            return Rejected("INVALID_MESSAGE", str(error), is_payload_fault=False)

    async def _post(self, bodies: Sequence[bytes]) -> list[Posted]:
        """Posts all; those whose token was refused once more with a new one, if one is to be had."""
        try:
            token = await self._token.current()
        except GoogleAuthError as error:
            return [NotProcessed(f"no access token: {error}")] * len(bodies)
        replies = await self._transport.post_all(bodies, self._headers_with(token))
        refused = [place for place, reply in enumerate(replies) if is_refused_token(reply)]
        other = await self._other_token(token) if refused else None
        if other is not None:
            again = await self._transport.post_all([bodies[place] for place in refused], self._headers_with(other))
            for place, reply in zip(refused, again, strict=True):
                replies[place] = reply
        return replies

    async def _other_token(self, refused: str) -> str | None:
        try:
            return await self._token.replace(refused)
        except GoogleAuthError:
            return None  # what the service said of the old one stands

    def _headers_with(self, token: str) -> tuple[str, ...]:
        if self._headers[0] != token:
            headers = (f"Authorization: Bearer {token}", "Content-Type: application/json; charset=utf-8", "Expect:")
            self._headers = (token, headers)
        return self._headers[1]

    def _fetch_token(self) -> tuple[str, float]:
        request = Request()
        with request.session as session:
            session.verify = str(self._ca_file)
            session.trust_env = not self._is_token_cleartext  # the stand-in next door, as in the transport
            self._credential.refresh(functools.partial(request, timeout=_TOKEN_TIMEOUT_S))
        life = self._credential.expiry.replace(tzinfo=UTC) - datetime.now(UTC)
        return self._credential.token, life.total_seconds()
