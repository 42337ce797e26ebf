"""Events as they are kept, and the keys by which a repeated one is known for seven days."""

import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import xxhash
from asyncpg.pgproto import pgproto

from push import copy_format
from schema.event import EventType
from schema.ids import milliseconds, uuid7_bytes
from schema.log import LogEntry
from service.store import event_rows
from service.store.event_rows import StoredEvent
from service.store.zones import HOUR_UNKNOWN, local_hour

fast_uuid: Final[Callable[[str | bytes], UUID]] = pgproto.UUID
"""The driver's own kind of uuid.UUID, made in a tenth of the time."""

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
# What identifies an event, each part with its length before it: schema.ids.framed.
_IDENTITY: Final = struct.Struct("<IqI16s")


def key_of(event_id: str) -> UUID:
    """The key of an app's own event id: itself when it is a UUID, else its xxh3_128."""
    try:
        return fast_uuid(event_id)
    except ValueError:
        return _key_of_other(event_id)


def _key_of_other(event_id: str) -> UUID:
    """UUIDs in braces, say, are read by the standard library alone."""
    try:
        return UUID(event_id)
    except ValueError:
        return UUID(bytes=xxhash.xxh3_128_digest(event_id.encode()))


def answer_key(decision_id: UUID, slot: int, kind: EventType) -> UUID:
    """The key of an answer to a slot: the same by whatever door it is told."""
    return UUID(bytes=xxhash.xxh3_128_digest(decision_id.bytes + bytes([slot, kind])))


def ids_at(received_at: datetime) -> Callable[[int, UUID], UUID]:
    """Gives, by user and key, the UUIDv7 of an event received at this instant; its random bits come from what identifies it, so the same input gives the same log."""
    instant = milliseconds(received_at).to_bytes(6)

    def id_of(user_id: int, event_key: UUID) -> UUID:
        entropy = xxhash.xxh3_128_digest(_IDENTITY.pack(8, user_id, 16, event_key.bytes))
        return fast_uuid(uuid7_bytes(instant, entropy))

    return id_of


def id_of(user_id: int, event_key: UUID, received_at: datetime) -> UUID:
    """The id of one event: see `ids_at`."""
    return ids_at(received_at)(user_id, event_key)


async def claim(connection: Any, keys: Sequence[tuple[int, UUID]], now: datetime) -> set[tuple[int, UUID]]:
    """Those of the (user_id, event_key) pairs that were never seen; the others are duplicates.

    Waits for a transaction that claims the same key; in the order of the keys, so that two batches cannot deadlock.
    """
    ordered = sorted(set(keys))
    rows = await connection.fetch(_CLAIM, [key[0] for key in ordered], [key[1] for key in ordered], now)
    # asyncpg's own UUID is a subclass of uuid.UUID with the same hash and equality.
    return {(row[0], row[1]) for row in rows}


async def claim_all(connection: Any, keys: Sequence[tuple[int, UUID]], now: datetime) -> set[tuple[int, UUID]]:
    """As `claim`, where all are expected to be new. Raises asyncpg.UniqueViolationError when one is not: the transaction is over then."""
    fresh = set(keys)
    if fresh:
        # By COPY, at half of what _CLAIM costs the server, which there inserts speculatively and looks beforehand.
        rows = event_rows.keys(sorted(fresh), now)
        columns = copy_format.columns_of(rows.dtype)
        await connection.copy_to_table("event_keys", source=copy_format.at_once(rows), columns=columns, format="binary")
    return fresh


async def insert(connection: Any, rows: Sequence[StoredEvent]) -> None:
    """Writes events whose keys have been claimed in the same transaction."""
    if rows:
        await connection.copy_to_table(
            "events", source=event_rows.encoded(rows), columns=event_rows.COLUMNS, format="binary"
        )


def log_entry(row: StoredEvent, time_zone: str | None, tag_ids: Iterable[int] = ()) -> LogEntry:
    """What learning reads of an event; `time_zone` is the person's."""
    hour = HOUR_UNKNOWN if time_zone is None else local_hour(row.occurred_at, time_zone)
    tags = tuple(dict.fromkeys(tag_ids)) if tag_ids else ()
    return LogEntry(
        row.user_id, row.event_id, row.type, row.occurred_at, hour, tags, row.offer_id or 0, row.decision_id, row.slot
    )
