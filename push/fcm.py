"""Firebase Cloud Messaging: messages built and encoded with the SDK's types, its answers turned into outcomes.

The only module that knows firebase-admin. The SDK's own sending is left aside: it repeats POSTs after a timeout, sleeps
on 429 and costs a millisecond a message. Rules of the service: https://firebase.google.com/docs/cloud-messaging
"""

import functools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import certifi
import firebase_admin
import msgspec
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

from push.access_token import AccessToken
from push.channel import (
    Accepted,
    AddressKind,
    Message,
    NotProcessed,
    Outcome,
    Rejected,
    RetryAfter,
    Unknown,
    Unregistered,
)
from push.fcm_answer import Error, read_answer
from push.fcm_limits import COLLAPSE_ID_BYTES_MAX, PAYLOAD_BYTES_MAX, payload_bytes, payload_fault
from push.meter import EXPIRED
from push.template import Template, escaped, slot
from push.transport import Posted, Reply, Transport

TTL_MAX: Final = timedelta(days=28)

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_TOKEN_TIMEOUT_S = 10.0
_PROJECT_PAUSE_S = 60
_MESSAGE_PAUSE_S = 10
_PLATFORM_PAUSE_S = 900

_ADDRESS, _COLLAPSE, _TTL, _TTL_S, _EXPIRATION, _TITLE, _BODY, _IMAGE, _DATA = range(9)
_TTL_MARK = timedelta(seconds=1_234_567)  # the SDK takes no string here

# The SDK's own table of FCM codes, then google.rpc's; both are looked up by name, as the SDK does.
_ERRORS: Final[Mapping[str, Callable[[str], exceptions.FirebaseError]]] = {
    "APNS_AUTH_ERROR": messaging.ThirdPartyAuthError,
    "QUOTA_EXCEEDED": messaging.QuotaExceededError,
    "SENDER_ID_MISMATCH": messaging.SenderIdMismatchError,
    "THIRD_PARTY_AUTH_ERROR": messaging.ThirdPartyAuthError,
    "UNREGISTERED": messaging.UnregisteredError,
    "INVALID_ARGUMENT": exceptions.InvalidArgumentError,
    "UNAUTHENTICATED": exceptions.UnauthenticatedError,
    "PERMISSION_DENIED": exceptions.PermissionDeniedError,
    "NOT_FOUND": exceptions.NotFoundError,
    "RESOURCE_EXHAUSTED": exceptions.ResourceExhaustedError,
    "INTERNAL": exceptions.InternalError,
    "UNAVAILABLE": exceptions.UnavailableError,
}
_STATUS_NAMES: Final[Mapping[int, str]] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def sdk_message(message: Message, ttl: timedelta, ttl_s: str, expiration: str, channel_id: str) -> messaging.Message:
    """The message in the SDK's types: life, collapse id and priority set on every platform.

    `ttl_s` is `ttl` in whole seconds, `expiration` the Unix second at which APNs gives up.
    """
    is_visible = message.is_visible
    headers = {
        "apns-expiration": expiration,
        "apns-priority": "10" if is_visible else "5",
        "apns-push-type": "alert" if is_visible else "background",
        "apns-collapse-id": message.collapse_id,
    }
    aps = messaging.Aps(content_available=True)
    if is_visible:
        aps = messaging.Aps(sound="default", mutable_content=message.image_url is not None)
    with warnings.catch_warnings():
        # 7.7 wants `fid`, but the tokens of apps in the field are what we are given and stay valid.
        warnings.filterwarnings("ignore", "Message.token is deprecated", DeprecationWarning)
        return messaging.Message(
            token=message.address if message.address_kind == "token" else None,
            fid=message.address if message.address_kind == "fid" else None,
            data=message.data,
            notification=messaging.Notification(message.title, message.body, message.image_url) if is_visible else None,
            android=messaging.AndroidConfig(
                ttl=ttl,
                priority="high" if is_visible else "normal",
                notification=messaging.AndroidNotification(tag=message.collapse_id, channel_id=channel_id)
                if is_visible
                else None,
            ),
            apns=messaging.APNSConfig(headers=headers, payload=messaging.APNSPayload(aps)),
            webpush=messaging.WebpushConfig(headers={"TTL": ttl_s}),
            fcm_options=messaging.FCMOptions(message.analytics_label) if message.analytics_label else None,
        )


class _Shape(NamedTuple):
    """Messages that differ by what is in their slots alone. `empty_bytes` are those that count when all are empty."""

    template: Template
    empty_bytes: int
    counted: slice


@functools.lru_cache(maxsize=256)
def _shape(
    address_kind: AddressKind, keys: tuple[str, ...], label: str | None, channel_id: str, looks: tuple[bool, bool]
) -> _Shape:
    """Let the SDK validate and encode a message of slots, once for each shape. `looks`: visible, with an image.

    Raises ValueError as the SDK does, and for keys that are reserved.
    """
    is_visible, has_image = looks
    shape = Message(
        outbox_id="",
        address=slot(_ADDRESS),
        address_kind=address_kind,
        title=slot(_TITLE),
        body=slot(_BODY),
        data={key: slot(_DATA + i) for i, key in enumerate(keys)},
        collapse_id=slot(_COLLAPSE),
        expires_at=datetime.max.replace(tzinfo=UTC),
        image_url=slot(_IMAGE) if has_image else None,
        is_visible=is_visible,
        analytics_label=label,
    )
    document = str(sdk_message(shape, _TTL_MARK, slot(_TTL_S), slot(_EXPIRATION), channel_id))
    mark = f'"ttl": "{_TTL_MARK.total_seconds():.0f}s"'
    document = document.replace(mark, f'"ttl": {json.dumps(slot(_TTL))}')
    empty = msgspec.structs.replace(
        shape, title="", body="", image_url="" if has_image else None, data=dict.fromkeys(keys, "")
    )
    if fault := payload_fault(empty):
        raise ValueError(fault)
    counted = slice(_TITLE if is_visible else _DATA, None)
    return _Shape(Template(f'{{"message":{document}}}'), payload_bytes(empty), counted)


def encode(message: Message, now: datetime, channel_id: str) -> bytes:
    """The body of the POST. Raises ValueError for a message that FCM would refuse whoever the device is."""
    data, image_url = message.data, message.image_url
    looks = (message.is_visible, image_url is not None)
    template, empty_bytes, counted = _shape(
        message.address_kind, tuple(data), message.analytics_label, channel_id, looks
    )
    life = min(message.expires_at - now, TTL_MAX)
    ttl_s = life.days * 86_400 + life.seconds
    expiration = int(message.expires_at.timestamp()) if life is not TTL_MAX else int((now + life).timestamp())
    values = [
        escaped(message.address),
        escaped(message.collapse_id),
        b'"%ds"' % ttl_s,
        b'"%d"' % ttl_s,
        b'"%d"' % expiration,
        escaped(message.title),
        escaped(message.body),
        escaped(image_url or ""),
        *map(escaped, data.values()),
    ]
    # Two quotes of each value are in `empty_bytes` already.
    texts = values[counted]
    size = empty_bytes + sum(map(len, texts)) - 2 * len(texts)
    if (size > PAYLOAD_BYTES_MAX or not 2 < len(values[_COLLAPSE]) <= 2 + COLLAPSE_ID_BYTES_MAX) and (
        fault := payload_fault(message)
    ):
        raise ValueError(fault)
    return template.render(values)


def firebase_error(reply: Reply) -> exceptions.FirebaseError:
    """The SDK's error for an answer other than success."""
    error = read_answer(reply.body).error
    text = error.message or f"HTTP {reply.status}"
    for name in (error.fcm_code, error.status, _STATUS_NAMES.get(reply.status, "")):
        if name in _ERRORS:
            return _ERRORS[name](text)
    return exceptions.UnknownError(text)


def _refusal(error: exceptions.FirebaseError, details: Error) -> Unregistered | Rejected | None:
    match error:
        case messaging.UnregisteredError():
            return Unregistered()
        case messaging.SenderIdMismatchError():
            return Rejected(details.fcm_code, str(error), is_payload_fault=False)
        case exceptions.InvalidArgumentError():
            return Rejected(error.code, str(error), is_payload_fault=not details.is_about_address)
    return None


def _pause(error: exceptions.FirebaseError, retry_after_s: int) -> RetryAfter | None:
    reason = f"{error.code}: {error}"
    match error:
        case messaging.ThirdPartyAuthError():  # an UnauthenticatedError too, and so before it
            return RetryAfter(_PLATFORM_PAUSE_S, "platform", f"THIRD_PARTY_AUTH_ERROR: {error}")
        case exceptions.ResourceExhaustedError():
            return RetryAfter(retry_after_s or _PROJECT_PAUSE_S, "project", reason, is_over_quota=True)
        case exceptions.UnauthenticatedError() | exceptions.PermissionDeniedError() | exceptions.NotFoundError():
            # Our credentials, their rights or the project's name: no message can do better until someone mends it.
            return RetryAfter(_PROJECT_PAUSE_S, "project", reason)
        case exceptions.InternalError():
            return RetryAfter(retry_after_s or _MESSAGE_PAUSE_S, "message", reason)
    return None


def outcome_of(reply: Reply) -> Outcome:
    """What an answer means for the message. Unavailable (503) may have been delivered all the same: it is unknown."""
    answer = read_answer(reply.body)
    if reply.status == 200:
        return Accepted(answer.name) if answer.name else Unknown("200 without a message name")
    error = firebase_error(reply)
    outcome = _refusal(error, answer.error) or _pause(error, reply.retry_after_s)
    if outcome is None and 400 <= reply.status < 500:
        return Rejected(f"HTTP_{reply.status}", str(error), is_payload_fault=True)
    return outcome or Unknown(f"{error.code}: {error}")


def _is_refused_token(reply: Posted) -> bool:
    if not isinstance(reply, Reply) or reply.status != 401:
        return False
    return not isinstance(firebase_error(reply), messaging.ThirdPartyAuthError)


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
        refused = [place for place, reply in enumerate(replies) if _is_refused_token(reply)]
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


class SdkSender:
    """The SDK's own sending, as its documentation has it: the yardstick of `welltimed bench push`, and of use for nothing else."""

    BATCH: Final = 500  # the SDK takes no more at once

    def __init__(self, service_account: Mapping[str, Any], base_url: str) -> None:
        """The SDK knows no other address than Google's, so it is put in the place of that. Once a process."""
        messaging._MessagingService.FCM_URL = f"{base_url}/v1/projects/{{0}}/messages:send"  # noqa: SLF001 - there is no other way
        self._app = firebase_admin.initialize_app(credentials.Certificate(dict(service_account)), name="yardstick")

    @staticmethod
    def ready(message: Message, now: datetime) -> messaging.Message:
        """The message in the SDK's types."""
        ttl = message.expires_at - now
        seconds, expiration = f"{ttl.total_seconds():.0f}", f"{message.expires_at.timestamp():.0f}"
        return sdk_message(message, ttl, seconds, expiration, "offers")

    async def send(self, messages: Sequence[messaging.Message]) -> int:
        """How many were taken."""
        taken = 0
        for start in range(0, len(messages), self.BATCH):
            batch = list(messages[start : start + self.BATCH])
            taken += (await messaging.send_each_async(batch, app=self._app)).success_count
        return taken
