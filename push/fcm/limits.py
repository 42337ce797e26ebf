"""What FCM would refuse in a message, found before it is asked: of an offer when it is uploaded, of each message when it is encoded."""

import re
from typing import Final

import msgspec

from push.channel import Message

PAYLOAD_BYTES_MAX: Final = 4096
COLLAPSE_ID_BYTES_MAX: Final = 64  # APNs' limit

_RESERVED_KEY = re.compile("from$|message_type$|gcm|google")
_encode = msgspec.json.Encoder().encode


def content_bytes(title: str, body: str, image_url: str | None, data: dict[str, str]) -> int:
    """Bytes of notification and data as JSON: what goes to the phone, a little more than what FCM counts."""
    return len(_encode(data)) + len(_encode({"title": title, "body": body, "image": image_url}))


def payload_bytes(message: Message) -> int:
    """The bytes of a message that count; of one that is not visible only its data."""
    if not message.is_visible:
        return len(_encode(message.data))
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
    size = payload_bytes(message)
    if size > PAYLOAD_BYTES_MAX:
        return f"payload of {size} bytes, {PAYLOAD_BYTES_MAX} are allowed"
    return None
