"""What FCM would refuse in a message, found before it is asked: of an offer when it is uploaded, of each message when it is encoded."""

import re
from typing import Final

import msgspec
import xxhash

from push.channel import Message

PAYLOAD_BYTES_MAX: Final = 4096
COLLAPSE_ID_BYTES_MAX: Final = 64  # APNs' limit
LABEL_CHARACTERS_MAX: Final = 50
PRIVATE: Final = "private"

_LABEL = re.compile(r"[a-zA-Z0-9\-_.~%]{1,50}")
_NO_LABEL = re.compile(r"[^a-zA-Z0-9\-_.~%]")
_RESERVED_KEY = re.compile("from$|message_type$|gcm|google")
_encode = msgspec.json.Encoder().encode


def is_label(text: str) -> bool:
    """Whether FCM takes it as an analytics_label."""
    return _LABEL.fullmatch(text) is not None


def label_of(campaign_id: str, variant: str) -> str:
    """Campaign and variant as an analytics_label: what FCM does not take in one becomes ~, and of a long name the end a hash of it."""
    name, room = campaign_id, LABEL_CHARACTERS_MAX - len(variant) - 1
    if len(name) > room:
        digest = xxhash.xxh3_64_hexdigest(name.encode())[:8]
        name = f"{name[: room - 9]}~{digest}"
    return _NO_LABEL.sub("~", f"{name}-{variant}")


def drawn_by_app(message: Message) -> dict[str, str]:
    """What an app needs to draw a message with buttons itself, besides its data."""
    extras = {"title": message.title, "body": message.body, "tag": message.collapse_id}
    extras["buttons"] = ",".join(message.buttons)
    if message.image_url is not None:
        extras["image_url"] = message.image_url
    if message.is_private:
        extras["visibility"] = PRIVATE
    return extras


def content_bytes(title: str, body: str, image_url: str | None, data: dict[str, str]) -> int:
    """Bytes of notification and data as JSON: what goes to the phone, a little more than what FCM counts."""
    return len(_encode(data)) + len(_encode({"title": title, "body": body, "image": image_url}))


def payload_bytes(message: Message) -> int:
    """The bytes of a message that count; of one that is not visible only its data."""
    if not message.is_visible:
        return len(_encode(message.data))
    if message.buttons:
        return len(_encode(message.data)) + len(_encode(drawn_by_app(message)))
    return content_bytes(message.title, message.body, message.image_url, message.data)


def payload_fault(message: Message) -> str | None:
    """Why no device could be sent this message, in words; none if it is well formed.

    Raises UnicodeEncodeError, a ValueError, for a string that has no UTF-8 form.
    """
    reserved = [key for key in message.data if _RESERVED_KEY.match(key)]
    if reserved:
        return f"reserved data keys: {', '.join(reserved)}"
    if not 0 < len(message.collapse_id.encode()) <= COLLAPSE_ID_BYTES_MAX:
        return f"collapse_id must have 1 to {COLLAPSE_ID_BYTES_MAX} bytes"
    if message.analytics_label is not None and not is_label(message.analytics_label):
        return "analytics_label is up to 50 letters, digits and -_.~%"
    size = payload_bytes(message)
    if size > PAYLOAD_BYTES_MAX:
        return f"payload of {size} bytes, {PAYLOAD_BYTES_MAX} are allowed"
    return None
