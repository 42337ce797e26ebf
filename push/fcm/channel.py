"""Firebase Cloud Messaging as a channel: messages of the SDK's types, its answers turned into outcomes.

Nothing outside this package knows firebase-admin. The SDK's own sending is left aside: it repeats POSTs after a timeout, sleeps
on 429 and costs a millisecond a message. Rules of the service: https://firebase.google.com/docs/cloud-messaging
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import certifi
from firebase_admin import credentials
from google.auth.exceptions import GoogleAuthError

from push.channel import Message, NotProcessed, Outcome, Rejected
from push.fcm.access_token import AccessToken
from push.fcm.message import encode
from push.fcm.token_request import TokenRequest, fetch
from push.fcm.transport import Posted, Reply, Transport
from push.fcm.verdict import is_refused_token, outcome_of
from push.meter import EXPIRED

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


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
        credential = certificate.get_credential().with_scopes([_SCOPE])
        self._channel_id = channel_id
        trusted = ca_file or Path(certifi.where())
        is_cleartext = str(service_account.get("token_uri", "")).startswith("http:")
        ask = TokenRequest(trusted, is_cleartext=is_cleartext)
        self._token = AccessToken(lambda: fetch(credential, ask))
        self._headers: tuple[str, tuple[str, ...]] = ("", ())
        self._transport = Transport(
            f"{base_url}/v1/projects/{certificate.project_id}/messages:send",
            ca_file=trusted,
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
