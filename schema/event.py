"""The events an app or a till sends, and the batch they travel in."""

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.base import Incoming
from schema.discreet import shown_without
from schema.external_id import ExternalId

EVENTS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 512 * 1024
EVENT_BYTES_MAX: Final = 32 * 1024

Text = Annotated[str, Meta(min_length=1, max_length=128)]
Tag = Annotated[str, Meta(min_length=1, max_length=64)]
Instant = Annotated[datetime, Meta(tz=True)]


class EventType(IntEnum):
    """What happened. The numbers are stored: never reuse one."""

    PURCHASE = 1
    VIEW = 2
    APP_OPEN = 3
    LEFT_STORE = 4
    BASKET_ABANDONED = 5
    SHOWN = 10
    ACCEPTED = 11  # by FCM, told by our own dispatcher, never by a client
    OPENED = 12
    DISMISSED = 13
    REDEEMED = 14
    REDEMPTION_ROLLED_BACK = 15  # of a till, never told as an event
    THUMBS_UP = 20
    THUMBS_DOWN = 21
    NOT_NOW = 22
    OPTED_OUT = 23


FeedbackType = Literal["shown", "opened", "dismissed", "redeemed", "thumbs_up", "thumbs_down", "not_now", "opted_out"]
ClientEventType = Literal[
    "purchase", "view", "app_open", "left_store", "basket_abandoned", "shown", "opened", "dismissed", "redeemed"
]

CODES: Final[dict[str, EventType]] = {kind.name.lower(): kind for kind in EventType}


class Batch(Incoming, frozen=True):
    """The envelope of POST /v1/events. Each event stays raw, so that one bad event does not fail the others."""

    sent_at: Instant
    batch: list[msgspec.Raw]


class Event(Incoming, frozen=True, gc=False):
    """One event of a batch. Exactly one of user_id and anonymous_id names the person.

    `properties` of a purchase: {"tags": [...], "amount": ..., "store_id": ...}; tags are those of the catalogue's taxonomy.
    """

    event_id: Text
    type: ClientEventType
    occurred_at: Instant
    user_id: ExternalId | None = None
    anonymous_id: ExternalId | None = None
    offer_id: Text | None = None
    decision_id: UUID | None = None
    slot: Annotated[int, Meta(ge=0, le=63)] = 0
    properties: dict[str, Any] = {}


class WrittenBatch(Incoming, frozen=True):
    """What a client writes: a Batch with its events spelled out, for the OpenAPI document."""

    sent_at: Instant
    batch: Annotated[list[Event], Meta(max_length=EVENTS_MAX)]


class EventProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why one event of a batch was rejected."""

    pointer: str
    code: str
    detail: str


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a batch: every event is accepted, a duplicate, or rejected with a reason."""

    accepted: int
    duplicates: int
    rejected: int
    errors: list[EventProblem]


class Feedback(Incoming, frozen=True):
    """The body of POST /v1/decisions/{id}/feedback. A user token says who answers; with an sk key user_id or anonymous_id does.

    A push brings a `feedback_token` that says it too, for its own decision alone and until its attribution window ends (docs/push.md).
    """

    type: FeedbackType
    slot: Annotated[int, Meta(ge=0, le=63)] = 0
    occurred_at: Instant | None = None
    user_id: ExternalId | None = None
    anonymous_id: ExternalId | None = None
    feedback_token: Annotated[str, Meta(max_length=64)] | None = None

    def __repr__(self) -> str:
        return shown_without(self, "feedback_token")


class FeedbackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`feedback_applied_through` is the watermark: a decision made after this answer knows all feedback up to it."""

    applied: bool
    feedback_applied_through: datetime
