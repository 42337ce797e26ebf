"""What people answered in the last days, counted or not: which offer it answers may only be known when more was told."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from service.store import pieces

KEPT_FOR: Final = timedelta(days=8)
"""An event is taken for seven days after it happened (service.ingest): by then all is told of the offer; a day is for the learner."""

_OF_USERS: Final = """
    select user_id, event_id, answered_at, head, offer_id, decision_id, slot from answers
     where user_id = any($1::bigint[])
"""
_PUT: Final = """
    insert into answers (user_id, event_id, answered_at, head, offer_id, decision_id, slot)
    select * from unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::smallint[], $5::integer[], $6::uuid[], $7::smallint[])
    on conflict (user_id, event_id) do nothing
"""
_DELETE: Final = """
    delete from answers a using unnest($1::bigint[], $2::uuid[]) as t(user_id, event_id)
     where a.user_id = t.user_id and a.event_id = t.event_id
"""
_PURGE: Final = """
    delete from answers where ctid = any (array(
        select ctid from answers where answered_at < $1 order by answered_at limit $2))
"""


class Answer(NamedTuple):
    """An open (head 0) or a redemption (head 1); decision_id is None when only the offer is known, else offer_id may be 0."""

    user_id: int
    event_id: UUID
    answered_at: datetime
    head: int
    offer_id: int
    decision_id: UUID | None
    slot: int


async def of_users(connection: Any, user_ids: Collection[int]) -> list[Answer]:
    """All answers that are kept of these users, in no order."""
    return [Answer(*row) for row in await connection.fetch(_OF_USERS, list(user_ids))] if user_ids else []


async def put(connection: Any, answers: Collection[Answer]) -> None:
    """Keeps answers; the caller is the only one who may write for these users."""
    await connection.execute(_PUT, *map(list, zip(*answers, strict=True)))


async def delete(connection: Any, keys: Collection[tuple[int, UUID]]) -> None:
    """Forgets answers that were taken back, by user and event; the caller is the only one who may write for these users."""
    await connection.execute(_DELETE, *map(list, zip(*keys, strict=True)))


async def purge(connection: Any, now: datetime) -> None:
    """Forgets the answers that were given too long ago to be matched anew. The caller must not be in a transaction."""
    await pieces.delete(connection, _PURGE, now - KEPT_FOR, pieces.ROWS)
