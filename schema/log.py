"""What travels in the event log: facts about one user, small enough to be folded by the million."""

from datetime import datetime
from uuid import UUID

import msgspec


class LogEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact. `type` is an EventType; tags are ids of the taxonomy; offer_id is ours, not the app's.

    `takes_back` is the event of a redemption that was rolled back, whose instant is then occurred_at.
    local_hour is the hour of the week of the person's own clock at occurred_at (Monday 00:00 is 0), -1 when unknown.
    """

    user_id: int
    event_id: UUID
    type: int
    occurred_at: datetime
    local_hour: int = -1
    tag_ids: tuple[int, ...] = ()
    offer_id: int = 0
    decision_id: UUID | None = None
    slot: int = 0
    takes_back: UUID | None = None


# A UUID is sixteen bytes; as 36 letters, as it was written before, the decoder reads it too.
ENCODER = msgspec.msgpack.Encoder(uuid_format="bytes")
DECODER = msgspec.msgpack.Decoder(list[LogEntry])
