"""Entries of the event log that could not be counted, put aside with the reason; replayed when what was wrong has been mended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from schema.event import EventType
from schema.log import DECODER, ENCODER, LogEntry
from service.store import event_log

_PUT: Final = """
    insert into dead_letters (user_id, event_id, body, reason, failed_at)
    select user_id, event_id, body, reason, $5 from unnest($1::bigint[], $2::uuid[], $3::bytea[], $4::text[])
        as d(user_id, event_id, body, reason)
    on conflict (user_id, event_id) do update set reason = excluded.reason, failed_at = excluded.failed_at
"""
_LIST: Final = """
    select d.user_id, u.external_id, d.event_id, d.body, d.reason, d.failed_at
      from dead_letters d left join users u using (user_id) order by d.failed_at, d.event_id limit $1
"""
_TAKE: Final = """
    delete from dead_letters where $1::uuid[] is null or event_id = any($1::uuid[]) returning body
"""


class DeadLetter(NamedTuple):
    """An entry and why it could not be counted: the type of the error, for its message may quote what a client sent."""

    entry: LogEntry
    reason: str


class Shown(msgspec.Struct, frozen=True):
    """A dead letter as an operator sees it."""

    event_id: UUID
    user_id: str | None
    type: str
    occurred_at: datetime
    reason: str
    failed_at: datetime


async def put(connection: Any, letters: Sequence[DeadLetter], now: datetime) -> None:
    """Puts entries aside, in the transaction that moves the offset past them."""
    await connection.execute(
        _PUT,
        [one.entry.user_id for one in letters],
        [one.entry.event_id for one in letters],
        [ENCODER.encode([one.entry]) for one in letters],
        [one.reason for one in letters],
        now,
    )


async def read(connection: Any, limit: int) -> list[Shown]:
    """Those that lie there, the first to fail first."""
    return [_shown(row) for row in await connection.fetch(_LIST, limit)]


def _shown(row: Any) -> Shown:
    (entry,) = DECODER.decode(row["body"])
    kind = EventType(entry.type).name.lower()
    return Shown(row["event_id"], row["external_id"], kind, entry.occurred_at, row["reason"], row["failed_at"])


async def replay(connection: Any, event_ids: Sequence[UUID] | None, now: datetime) -> int:
    """Appends these (None: all) to the event log again, in a transaction of its own; how many. One that fails again comes back."""
    async with connection.transaction():
        taken = [DECODER.decode(row[0])[0] for row in await connection.fetch(_TAKE, event_ids)]
        await event_log.append(connection, taken, now)
    return len(taken)
