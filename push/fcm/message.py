"""A push as FCM wants it: the SDK validates and encodes a message of slots once for each shape, the rest is a rendering."""

import functools
import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from firebase_admin import messaging

from push.channel import AddressKind, Message
from push.fcm.limits import COLLAPSE_ID_BYTES_MAX, PAYLOAD_BYTES_MAX, payload_bytes, payload_fault
from push.template import Template, escaped, slot

TTL_MAX: Final = timedelta(days=28)

_ADDRESS, _COLLAPSE, _TTL, _TTL_S, _EXPIRATION, _TITLE, _BODY, _IMAGE, _DATA = range(9)
_TTL_MARK = timedelta(seconds=1_234_567)  # the SDK takes no string here


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
