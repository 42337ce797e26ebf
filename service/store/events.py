"""Events as they are kept, and the keys by which a repeated one is known for seven days."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import xxhash

from schema.event import EventType
from schema.ids import stable_entropy, uuid7
from schema.log import LogEntry
from service.store.zones import local_hour


class StoredEvent(NamedTuple):
    """A row of events; `properties` is JSON text."""

    user_id: int
    event_id: UUID
    type: int
    occurred_at: datetime
    received_at: datetime
    offer_id: int | None
    decision_id: UUID | None
    slot: int
    properties: str


React = Callable[[Any, Sequence[StoredEvent]], Awaitable[None]]
"""What else has to happen in the transaction that writes events."""


async def nothing(_connection: Any, _rows: Sequence[StoredEvent]) -> None:
    """No reaction."""


_CLAIM: Final = """
    insert into event_keys (user_id, event_key, received_at)
    select k.user_id, k.event_key, $3
      from unnest($1::bigint[], $2::uuid[]) with ordinality as k(user_id, event_key, place) order by k.place
    on conflict do nothing returning user_id, event_key
"""
_INSERT: Final = """
    insert into events (user_id, event_id, type, occurred_at, received_at, offer_id, decision_id, slot, properties)
    select user_id, event_id, type, occurred_at, received_at, offer_id, decision_id, slot, properties::jsonb
      from unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::timestamptz[],
                  $6::integer[], $7::uuid[], $8::smallint[], $9::text[])
        as e(user_id, event_id, type, occurred_at, received_at, offer_id, decision_id, slot, properties)
"""


def key_of(event_id: str) -> UUID:
    """The key of an app's own event id: itself when it is a UUID, else its xxh3_128."""
    try:
        return UUID(event_id)
    except ValueError:
        return UUID(bytes=xxhash.xxh3_128_digest(event_id.encode()))


def answer_key(decision_id: UUID, slot: int, kind: EventType) -> UUID:
    """The key of an answer to a slot: the same by whatever door it is told."""
    return UUID(bytes=xxhash.xxh3_128_digest(decision_id.bytes + bytes([slot, kind])))


def id_of(user_id: int, event_key: UUID, received_at: datetime) -> UUID:
    """The UUIDv7 of an event; its random bits come from what identifies it, so the same input gives the same log."""
    return uuid7(received_at, stable_entropy(user_id.to_bytes(8, "little"), event_key.bytes))


async def claim(connection: Any, keys: Sequence[tuple[int, UUID]], now: datetime) -> set[tuple[int, UUID]]:
    """Those of the (user_id, event_key) pairs that were never seen; the others are duplicates.

    Waits for a transaction that claims the same key; in the order of the keys, so that two batches cannot deadlock.
    """
    ordered = sorted(set(keys))
    rows = await connection.fetch(_CLAIM, [key[0] for key in ordered], [key[1] for key in ordered], now)
    # asyncpg's own UUID is a subclass of uuid.UUID with the same hash and equality.
    return {(row[0], row[1]) for row in rows}


async def insert(connection: Any, rows: Sequence[StoredEvent]) -> None:
    """Writes events whose keys have been claimed in the same transaction."""
    if rows:
        await connection.execute(_INSERT, *map(list, zip(*rows, strict=True)))


def log_entry(row: StoredEvent, time_zone: str | None, tag_ids: Iterable[int] = ()) -> LogEntry:
    """What learning reads of an event; `time_zone` is the person's."""
    return LogEntry(
        user_id=row.user_id,
        event_id=row.event_id,
        type=row.type,
        occurred_at=row.occurred_at,
        local_hour=local_hour(row.occurred_at, time_zone),
        tag_ids=tuple(dict.fromkeys(tag_ids)),
        offer_id=row.offer_id or 0,
        decision_id=row.decision_id,
        slot=row.slot,
    )
