"""One micro-batch of events into PostgreSQL: people, keys, events and log entries in a single transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from schema.log import LogEntry
from service.ingest.checked import CheckedEvent
from service.store import event_log, events, people, tags
from service.store.events import StoredEvent
from service.store.people import Person, PersonKey


async def write(pool: Any, batch: Sequence[CheckedEvent]) -> list[bool]:
    """Commits a batch; says of each event whether it was new (True) or a duplicate (False).

    Every writer takes its locks in the same order: identities, users, event keys, heads of the log, each of them sorted.
    """
    now = max(event.received_at for event in batch)
    async with pool.acquire() as connection:
        # Before the transaction: what is remembered of tags must not be rolled back.
        tag_ids = await tags.ensure(connection, {tag for event in batch for tag in event.tags})
        async with connection.transaction():
            found = await people.ensure(connection, {event.person for event in batch}, now)
            return await _append(connection, batch, found, tag_ids, now)


async def _append(
    connection: Any,
    batch: Sequence[CheckedEvent],
    found: Mapping[PersonKey, Person],
    tag_ids: Mapping[str, int],
    now: datetime,
) -> list[bool]:
    keys = [(found[event.person].user_id, event.event_key) for event in batch]
    fresh = await events.claim(connection, keys, now)
    is_new = []
    rows: list[StoredEvent] = []
    entries: list[LogEntry] = []
    for event, key in zip(batch, keys, strict=True):
        is_new.append(key in fresh)
        if key in fresh:
            fresh.discard(key)  # the second of two in one batch is a duplicate
            row = _row(event, key[0])
            rows.append(row)
            known_tags = [tag_ids[tag] for tag in event.tags if tag in tag_ids]
            entries.append(events.log_entry(row, found[event.person].time_zone, known_tags))
    await events.insert(connection, rows)
    await event_log.append(connection, entries, now)
    return is_new


def _row(event: CheckedEvent, user_id: int) -> StoredEvent:
    return StoredEvent(
        user_id=user_id,
        event_id=events.id_of(user_id, event.event_key, event.received_at),
        type=event.type,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        offer_id=event.offer_id,
        decision_id=event.decision_id,
        slot=event.slot,
        properties=event.properties,
    )
