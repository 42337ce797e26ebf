"""The promise of every channel, the message it takes and the outcomes it may answer; the dispatcher knows no more."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from schema.discreet import shown_without

AddressKind = Literal["token", "fid", "webhook", "email"]


class Card(msgspec.Struct, frozen=True):
    """One offer of a digest."""

    title: str
    body: str
    image_url: str | None = None
    deep_link: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One push to one device, or what another channel says of the same decision.

    `outbox_id` is the outbox row's UUID; `collapse_id` becomes the Android tag and the APNs collapse id, so that a
    second copy replaces the first on the screen (64 bytes at most); `expires_at` is aware. A message that is not
    visible carries only `data`. An e-mail is a digest of `cards`, and never without its link to unsubscribe by. `analytics_label` is campaign and variant: few distinct values a day. With `buttons` the
    app draws the message on Android, since the system would draw it without them. One that `is_private` is marked so that
    a locked phone may hide it; its texts must be neutral all the same.
    """

    outbox_id: str
    address: str
    address_kind: AddressKind
    title: str
    body: str
    data: dict[str, str]
    collapse_id: str
    expires_at: datetime
    image_url: str | None = None
    is_visible: bool = True
    analytics_label: str | None = None
    buttons: tuple[str, ...] = ()
    is_private: bool = False
    cards: tuple[Card, ...] = ()
    unsubscribe_url: str | None = None

    def __repr__(self) -> str:
        return shown_without(self, "address", "data", "unsubscribe_url")


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The service took the message; whether a phone shows it is not known."""

    message_name: str


class Unregistered(msgspec.Struct, frozen=True, tag="unregistered"):
    """The device is gone: delete its token, if the token is older than the sending."""


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """Refused for good.

    With `is_payload_fault` the service says that any device would refuse it: stop the campaign. Without, `code` tells
    what is at fault: INVALID_ARGUMENT (the token, once the same payload went through elsewhere), SENDER_ID_MISMATCH
    (disable the token), THIRD_PARTY_AUTH_ERROR (the project's APNs key: stop iOS and alarm), INVALID_MESSAGE (this
    message, which we did not send: another of its campaign may be sound).
    """

    code: str
    detail: str
    is_payload_fault: bool


class RetryAfter(msgspec.Struct, frozen=True, tag="retry_after"):
    """Not accepted, worth another try in `seconds`: this message alone, or nothing of the whole project before then.

    The scope `platform` is between them: no phone of this kind can be reached before someone mends the project (its APNs key).
    `is_over_quota` says that we send faster than we may.
    """

    seconds: float
    scope: Literal["project", "platform", "message"]
    reason: str = ""
    is_over_quota: bool = False


class NotProcessed(msgspec.Struct, frozen=True, tag="not_processed"):
    """Certainly never processed: connection refused, never written, stream refused. Safe to send again."""

    reason: str


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """Perhaps delivered: timeout, reset, 503. Never sent again but by the campaign's own policy.

    With `retry_after_s` the service asked that nothing else be sent before.
    """

    reason: str
    retry_after_s: float = 0.0


Outcome = Accepted | Unregistered | Rejected | RetryAfter | NotProcessed | Unknown


class Channel(Protocol):
    """A way to reach people. Who shares the account shares its quota."""

    @property
    def name(self) -> str: ...

    @property
    def account(self) -> str: ...

    async def open(self) -> None: ...

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        """Send all, bounded inside; one outcome a message, in order. Nothing a service answers is raised."""
        ...

    async def close(self) -> None: ...
