"""An event that has been judged and may be written."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from schema.event import EventType
from service.store.people import PersonKey


class CheckedEvent(NamedTuple):
    """Instants are true ones (skew corrected, never later than received_at); `offer_id` is ours, `properties` JSON text."""

    person: PersonKey
    event_key: UUID
    type: EventType
    occurred_at: datetime
    received_at: datetime
    offer_id: int | None
    decision_id: UUID | None
    slot: int
    tags: tuple[str, ...]
    properties: str
