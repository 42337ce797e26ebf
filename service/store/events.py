"""Events as they are kept; by its key a repeated one is known for seven days."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from push import copy_format
from schema.log import LogEntry
from service.store import event_rows
from service.store.event_rows import StoredEvent
from service.store.zones import HOUR_UNKNOWN, local_hour

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
        rows = event_rows.keys(list(fresh), now)
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
    return LogEntry(
        row.user_id,
        row.event_id,
        row.type,
        row.occurred_at,
        HOUR_UNKNOWN if time_zone is None else local_hour(row.occurred_at, time_zone),
        tuple(dict.fromkeys(tag_ids)) if tag_ids else (),
        row.offer_id or 0,
        row.decision_id,
        row.slot,
    )
