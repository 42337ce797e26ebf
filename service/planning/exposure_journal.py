"""Accepted pushes are exposures: they go into the event log like everything else that is learned from."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from push.decider import Sent
from schema.event import EventType
from schema.ids import stable_entropy, uuid7
from schema.log import LogEntry
from service.store import event_log


class EventLogJournal:
    """Writes exposures into the event log."""

    async def accepted(self, connection: Any, sent: Sequence[Sent], now: datetime) -> None:
        """Appends one entry a push, in the caller's transaction."""
        await event_log.append(connection, [_entry(one) for one in sent], now)


def _entry(sent: Sent) -> LogEntry:
    return LogEntry(
        user_id=sent.user_id,
        event_id=uuid7(sent.accepted_at, stable_entropy(b"accepted", sent.decision_id.bytes, *_further(sent.slot))),
        type=EventType.ACCEPTED,
        occurred_at=sent.accepted_at,
        offer_id=sent.offer_id,
        decision_id=sent.decision_id,
        slot=sent.slot,
    )


def _further(slot: int) -> tuple[bytes, ...]:
    return (bytes([slot]),) if slot else ()
