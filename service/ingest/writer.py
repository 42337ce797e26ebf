"""One micro-batch of events into PostgreSQL: people, keys, events and log entries in a single transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import Any, NamedTuple

from schema.log import LogEntry
from service.ingest.checked import CheckedEvent, Outcome
from service.store import event_log, events, inbox, people, tags
from service.store.events import React, StoredEvent
from service.store.people import Person, PersonKey


async def write(pool: Any, batch: Sequence[CheckedEvent], react: React = events.nothing) -> list[Outcome]:
    """Commits a batch with what it sets off; says of each event what became of it.

    Every writer takes its locks in the same order: identities, users, event keys, items of inboxes, rests of triggered campaigns, heads of the log, each of them sorted.
    """
    now = max(event.received_at for event in batch)
    async with pool.acquire() as connection:
        # Before the transaction: what is remembered of tags must not be rolled back.
        told = {tag for event in batch for tag in event.tags}
        trusted = {tag for event in batch if event.makes_tags for tag in event.tags}
        tag_ids = await tags.of_events(connection, told, trusted)
        async with connection.transaction():
            found = await people.ensure(connection, {event.speaker.key for event in batch}, now)
            noted = await _insert(connection, batch, found, tag_ids, now)
            answers = (inbox.Answered(row.user_id, row.decision_id, row.slot, row.type) for row in noted.rows)
            await inbox.note(connection, answers, now)
            await react(connection, noted.rows)
            # Last, since it holds the heads of the log until the commit.
            await event_log.append(connection, noted.entries, now)
            return noted.outcomes


class _Noted(NamedTuple):
    """What became of each event, and of those that are new the rows and the entries of the log."""

    outcomes: list[Outcome]
    rows: list[StoredEvent]
    entries: list[LogEntry]


async def _insert(
    connection: Any,
    batch: Sequence[CheckedEvent],
    found: Mapping[PersonKey, Person],
    tag_ids: Mapping[str, int],
    now: datetime,
) -> _Noted:
    people_of = [found[event.speaker.key] for event in batch]
    is_spoken_for = [event.speaker.speaks_for(person.known_as) for event, person in zip(batch, people_of, strict=True)]
    keys = [(person.user_id, event.event_key) for event, person in zip(batch, people_of, strict=True)]
    fresh = await events.claim(connection, list(compress(keys, is_spoken_for)), now)
    noted = _Noted([], [], [])
    for place, (event, key) in enumerate(zip(batch, keys, strict=True)):
        is_new = is_spoken_for[place] and key in fresh
        noted.outcomes.append(is_new if is_spoken_for[place] else None)
        if is_new:
            fresh.discard(key)  # the second of two in one batch is a duplicate
            row = _row(event, key[0])
            noted.rows.append(row)
            known_tags = [tag_ids[tag] for tag in event.tags if tag in tag_ids]
            noted.entries.append(events.log_entry(row, people_of[place].time_zone, known_tags))
    await events.insert(connection, noted.rows)
    return noted


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
