"""An event that has been judged and may be written."""

from datetime import datetime
from uuid import UUID

import msgspec

from schema.event import EventType
from service.store.people import Speaker

Outcome = bool | None
"""What became of an event: True new, False a duplicate, None not written, since its sender may not speak for the person."""


class CheckedEvent(msgspec.Struct, frozen=True, gc=False):
    """Instants are true ones (skew corrected, never later than received_at); `offer_id` is ours, `properties` JSON text.

    Of its tags those that nobody knows are made known only when `makes_tags`.
    """

    speaker: Speaker
    event_key: UUID
    type: EventType
    occurred_at: datetime
    received_at: datetime
    offer_id: int | None
    decision_id: UUID | None
    slot: int
    tags: tuple[str, ...]
    makes_tags: bool
    properties: bytes
