"""How the stand-in judges the shape of a send request, by FCM's rules and limits."""

import re
from typing import Any, Final

import msgspec

PAYLOAD_BYTES_MAX: Final = 4096

_DURATION = re.compile(r"\d+(\.\d{1,9})?s")
_RESERVED_KEY = re.compile("from$|message_type$|gcm|google")
_LABEL = re.compile(r"[a-zA-Z0-9\-_.~%]{1,50}")


class Notification(msgspec.Struct, forbid_unknown_fields=True):
    """message.notification."""

    title: str = ""
    body: str = ""
    image: str = ""


class Android(msgspec.Struct):
    """message.android, as far as we judge it."""

    ttl: str = ""
    notification: dict[str, Any] = {}
    data: dict[str, str] = {}


class Apns(msgspec.Struct):
    """message.apns, as far as we judge it."""

    headers: dict[str, str] = {}
    payload: dict[str, Any] = {}


class FcmOptions(msgspec.Struct):
    """message.fcm_options."""

    analytics_label: str | None = None


class SentMessage(msgspec.Struct, forbid_unknown_fields=True):
    """message, in the snake_case spelling that the SDKs use."""

    token: str | None = None
    fid: str | None = None
    topic: str | None = None
    data: dict[str, str] = {}
    notification: Notification | None = None
    android: Android = msgspec.field(default_factory=Android)
    apns: Apns = msgspec.field(default_factory=Apns)
    webpush: dict[str, Any] = {}
    fcm_options: FcmOptions = msgspec.field(default_factory=FcmOptions)

    @property
    def address(self) -> str:
        return self.token or self.fid or f"/topics/{self.topic}"

    @property
    def is_visible(self) -> bool:
        """Whether the person sees it: drawn by the system, or on Android by the app that is given the words of the iOS alert."""
        return self.notification is not None or "alert" in self.apns.payload.get("aps", {})

    @property
    def tag(self) -> str:
        """What replaces an earlier banner: the Android tag, which we send equal to the APNs collapse id."""
        tag: str = self.android.notification.get("tag", "")
        return tag or self.apns.headers.get("apns-collapse-id", "")


class SendRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of messages:send; the message is kept as it came."""

    message: msgspec.Raw
    validate_only: bool = False


class Refusal(msgspec.Struct, frozen=True):
    """An error of FCM: HTTP status, google.rpc status, text, FCM's code if FCM itself speaks, the field at fault."""

    http_status: int
    status: str
    text: str
    fcm_code: str = ""
    field: str = ""
    retry_after_s: int | None = None

    def body(self) -> bytes:
        """The JSON of the answer."""
        details: list[dict[str, Any]] = []
        if self.fcm_code:
            kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
            details.append({"@type": kind, "errorCode": self.fcm_code})
        if self.field:
            violations = [{"field": self.field, "description": self.text}]
            details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations})
        error = {"code": self.http_status, "message": self.text, "status": self.status, "details": details}
        return msgspec.json.encode({"error": error})


UNAUTHENTICATED: Final = Refusal(
    401,
    "UNAUTHENTICATED",
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential.",
)
WRONG_PROJECT: Final = Refusal(403, "PERMISSION_DENIED", "The caller does not have permission")

_decode_request = msgspec.json.Decoder(SendRequest).decode
_decode_message = msgspec.json.Decoder(SentMessage).decode


def _invalid(field: str, text: str) -> Refusal:
    return Refusal(400, "INVALID_ARGUMENT", text, field=field)


def read_request(body: bytes) -> tuple[SendRequest, SentMessage] | Refusal:
    """Read a request, or refuse its shape."""
    try:
        request = _decode_request(body)
        return request, _decode_message(request.message)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        return _invalid("message", f"Invalid JSON payload received. {error}")


def judge(message: SentMessage) -> Refusal | None:
    """Refuse what FCM refuses whoever the device is; none to accept."""
    if sum(bool(target) for target in (message.token, message.fid, message.topic)) != 1:
        return _invalid("message", "Exactly one of token, fid or topic must be given.")
    reserved = [key for key in (*message.data, *message.android.data) if _RESERVED_KEY.match(key)]
    if reserved:
        return _invalid(f"message.data[{reserved[0]}]", f"Invalid data payload key: {reserved[0]}")
    if message.android.ttl and not _DURATION.fullmatch(message.android.ttl):
        return _invalid("message.android.ttl", "Illegal duration format")
    label = message.fcm_options.analytics_label
    if label is not None and not _LABEL.fullmatch(label):
        return _invalid("message.fcm_options.analytics_label", "Invalid analytics label")
    if _payload_bytes(message) > PAYLOAD_BYTES_MAX:
        return Refusal(400, "INVALID_ARGUMENT", "Message is too big", "INVALID_ARGUMENT")
    return None


def _payload_bytes(message: SentMessage) -> int:
    to_app = [*message.android.data, *message.android.data.values()]
    texts = [*message.data, *message.data.values()]
    if message.notification is not None:
        texts += [message.notification.title, message.notification.body, message.notification.image]
    return max(sum(len(text.encode()) for text in told) for told in (texts, to_app))
