"""A push as FCM wants it: the SDK validates and encodes a message of slots once for each shape, the rest is a rendering."""

import functools
import json
import warnings
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from firebase_admin import messaging

from push.channel import AddressKind, Message
from push.fcm.limits import (
    COLLAPSE_ID_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    PRIVATE,
    drawn_by_app,
    is_label,
    payload_bytes,
    payload_fault,
)
from push.fcm.template import Template, escaped, slot

TTL_MAX: Final = timedelta(days=28)
CATEGORY: Final = "welltimed_offer"
PRIVATE_CATEGORY: Final = "welltimed_private"
"""Of iOS: which buttons stand below a message, and what a locked phone shows of it, says the app under these names."""

_ADDRESS, _TTL, _TTL_S, _EXPIRATION, _LABEL, _COLLAPSE, _TITLE, _BODY, _IMAGE, _DATA = range(10)
_TTL_MARK = timedelta(seconds=1_234_567)  # the SDK takes no string here
_LABEL_MARK = "slot-of-the-label"  # nor another character there


def sdk_message(message: Message, ttl: timedelta, ttl_s: str, expiration: str, channel_id: str) -> messaging.Message:
    """The message in the SDK's types: life, collapse id and priority set on every platform.

    `ttl_s` is `ttl` in whole seconds, `expiration` the Unix second at which APNs gives up.
    """
    is_visible = message.is_visible
    is_drawn_by_system = is_visible and not message.buttons
    headers = {
        "apns-expiration": expiration,
        "apns-priority": "10" if is_visible else "5",
        "apns-push-type": "alert" if is_visible else "background",
        "apns-collapse-id": message.collapse_id,
    }
    notification = messaging.Notification(message.title, message.body, message.image_url)
    with warnings.catch_warnings():
        # 7.7 wants `fid`, but the tokens of apps in the field are what we are given and stay valid.
        warnings.filterwarnings("ignore", "Message.token is deprecated", DeprecationWarning)
        return messaging.Message(
            token=message.address if message.address_kind == "token" else None,
            fid=message.address if message.address_kind == "fid" else None,
            data=message.data,
            notification=notification if is_drawn_by_system else None,
            android=messaging.AndroidConfig(
                ttl=ttl,
                priority="high" if is_visible else "normal",
                data=message.data | drawn_by_app(message) if is_visible and message.buttons else None,
                notification=_on_android(message, channel_id) if is_drawn_by_system else None,
            ),
            apns=messaging.APNSConfig(
                headers=headers,
                payload=messaging.APNSPayload(_aps(message)),
                fcm_options=_image_on_ios(message) if is_visible and message.buttons else None,
            ),
            webpush=messaging.WebpushConfig(
                headers={"TTL": ttl_s}, notification=_on_web(message) if is_visible and message.buttons else None
            ),
            fcm_options=messaging.FCMOptions(message.analytics_label) if message.analytics_label else None,
        )


def _on_android(message: Message, channel_id: str) -> messaging.AndroidNotification:
    visibility = PRIVATE if message.is_private else None
    return messaging.AndroidNotification(tag=message.collapse_id, channel_id=channel_id, visibility=visibility)


def _aps(message: Message) -> messaging.Aps:
    if not message.is_visible:
        return messaging.Aps(content_available=True)
    category = PRIVATE_CATEGORY if message.is_private else CATEGORY if message.buttons else None
    return messaging.Aps(
        alert=messaging.ApsAlert(message.title, body=message.body) if message.buttons else None,
        sound="default",
        category=category,
        mutable_content=message.image_url is not None,
        custom_data={"interruption-level": "active"},
    )


def _on_web(message: Message) -> messaging.WebpushNotification:
    """Without buttons: what stands on them would have to be said here."""
    return messaging.WebpushNotification(
        title=message.title, body=message.body, image=message.image_url, tag=message.collapse_id
    )


def _image_on_ios(message: Message) -> messaging.APNSFCMOptions | None:
    return messaging.APNSFCMOptions(image=message.image_url) if message.image_url is not None else None


class _Shape(NamedTuple):
    """Messages that differ by what is in their slots alone. `empty_bytes` are those that count when all are empty."""

    template: Template
    empty_bytes: int
    counted: slice


class _Look(NamedTuple):
    """What of a message is no text of a slot."""

    address_kind: AddressKind
    keys: tuple[str, ...]
    is_visible: bool
    has_image: bool
    has_label: bool
    buttons: tuple[str, ...]
    is_private: bool
    channel_id: str


@functools.lru_cache(maxsize=256)
def _shape(look: _Look) -> _Shape:
    """Let the SDK validate and encode a message of slots, once for each look.

    Raises ValueError as the SDK does, and for keys that are reserved.
    """
    shape = Message(
        outbox_id="",
        address=slot(_ADDRESS),
        address_kind=look.address_kind,
        title=slot(_TITLE),
        body=slot(_BODY),
        data={key: slot(_DATA + i) for i, key in enumerate(look.keys)},
        collapse_id=slot(_COLLAPSE),
        expires_at=datetime.max.replace(tzinfo=UTC),
        image_url=slot(_IMAGE) if look.has_image else None,
        is_visible=look.is_visible,
        analytics_label=_LABEL_MARK if look.has_label else None,
        buttons=look.buttons,
        is_private=look.is_private,
    )
    document = str(sdk_message(shape, _TTL_MARK, slot(_TTL_S), slot(_EXPIRATION), look.channel_id))
    for name, mark, number in (
        ("ttl", f"{_TTL_MARK.total_seconds():.0f}s", _TTL),
        ("analytics_label", _LABEL_MARK, _LABEL),
    ):
        document = document.replace(f'"{name}": "{mark}"', f'"{name}": {json.dumps(slot(number))}')
    empty = msgspec.structs.replace(
        shape,
        title="",
        body="",
        collapse_id="",
        image_url="" if look.has_image else None,
        data=dict.fromkeys(look.keys, ""),
    )
    if fault := payload_fault(msgspec.structs.replace(empty, collapse_id="any")):
        raise ValueError(fault)
    first_counted = (_COLLAPSE if look.buttons else _TITLE) if look.is_visible else _DATA
    return _Shape(Template(f'{{"message":{document}}}'), payload_bytes(empty), slice(first_counted, None))


def encode(message: Message, now: datetime, channel_id: str) -> bytes:
    """The body of the POST. Raises ValueError for a message that FCM would refuse whoever the device is."""
    data, image_url, label = message.data, message.image_url, message.analytics_label
    template, empty_bytes, counted = _shape(
        _Look(
            message.address_kind,
            tuple(data),
            message.is_visible,
            image_url is not None,
            label is not None,
            message.buttons,
            message.is_private,
            channel_id,
        )
    )
    life = min(message.expires_at - now, TTL_MAX)
    ttl_s = life.days * 86_400 + life.seconds
    expiration = int(message.expires_at.timestamp()) if life is not TTL_MAX else int((now + life).timestamp())
    values = [
        escaped(message.address),
        b'"%ds"' % ttl_s,
        b'"%d"' % ttl_s,
        b'"%d"' % expiration,
        escaped(label or ""),
        escaped(message.collapse_id),
        escaped(message.title),
        escaped(message.body),
        escaped(image_url or ""),
        *map(escaped, data.values()),
    ]
    # Two quotes of each value are in `empty_bytes` already.
    texts = values[counted]
    size = empty_bytes + sum(map(len, texts)) - 2 * len(texts)
    is_odd = size > PAYLOAD_BYTES_MAX or not 2 < len(values[_COLLAPSE]) <= 2 + COLLAPSE_ID_BYTES_MAX
    is_odd = is_odd or (label is not None and not is_label(label))
    if is_odd and (fault := payload_fault(message)):
        raise ValueError(fault)
    return template.render(values)
