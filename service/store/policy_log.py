"""The decision log as evaluations of policies read it: blocks of decisions of a period, with what became of each slot."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.ids import lowest_uuid7
from service.store import decisions
from service.store.logged_decision import LoggedDecision

BLOCK_ROWS: Final = 500

# Bounds on decision_id let PostgreSQL leave out the partitions of other days. Who was held out tells of no policy.
_DECISIONS: Final = """
    select * from decisions
     where decision_id >= $1 and decision_id < $2 and not in_holdout and in_control = $5 and cardinality(offer_ids) > 0
       and channel = coalesce($3, channel) and ($4::uuid is null or campaign_id = $4)
"""
_OUTCOMES: Final = """
    select e.user_id, e.decision_id, e.slot, e.opened_at is not null, e.redeemed_at is not null
      from unnest($1::bigint[], $2::uuid[]) as k(user_id, decision_id)
      cross join lateral (
        select * from exposures
         where user_id = k.user_id and decision_id = k.decision_id and decision_id between $3 and $4 and exposed_at is not null
        offset 0 -- see service.store.exposures
      ) e
"""
_OLDEST_SNAPSHOT: Final = "select min(published_at) from snapshots"
_CAMPAIGN: Final = "select campaign_id from campaigns where external_id = $1"


class Part(NamedTuple):
    """Which decisions of the log are asked for."""

    since: datetime
    until: datetime
    channel: int | None = None
    campaign_id: UUID | None = None
    is_control: bool = False


class Followed(NamedTuple):
    """A logged decision, and by slot whether what was shown was opened and redeemed; a slot that nobody saw is missing."""

    logged: LoggedDecision
    answered: dict[int, tuple[bool, bool]]


async def blocks(connection: Any, part: Part) -> AsyncGenerator[list[Followed], None]:
    """The decisions in blocks, the newest day first, in no order within a day; each block by snapshot, so that each is loaded once.

    The caller must not be in a transaction.
    """
    for since, until in _days(part.since, part.until):
        async with connection.transaction(readonly=True):
            bounds = lowest_uuid7(since), lowest_uuid7(until)
            cursor = await connection.cursor(_DECISIONS, *bounds, *part[2:])
            while rows := await cursor.fetch(BLOCK_ROWS):
                logged = sorted(map(decisions.of_row, rows), key=lambda one: (one.snapshot_version, one.decision_id))
                yield await _followed(connection, logged)


async def _followed(connection: Any, logged: Sequence[LoggedDecision]) -> list[Followed]:
    ids = [one.decision_id for one in logged]
    found = await connection.fetch(_OUTCOMES, [one.user_id for one in logged], ids, min(ids), max(ids))
    answered: dict[tuple[int, UUID], dict[int, tuple[bool, bool]]] = {}
    for user_id, decision_id, slot, is_opened, is_redeemed in found:
        answered.setdefault((user_id, decision_id), {})[slot] = (is_opened, is_redeemed)
    return [Followed(one, answered.get((one.user_id, one.decision_id), {})) for one in logged]


def _days(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The days in UTC that a period touches, newest first, cut to the period."""
    end = until
    while end > since:
        midnight = (end - timedelta(microseconds=1)).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begin = max(midnight, since)
        yield begin, end
        end = begin


async def oldest_snapshot_at(connection: Any) -> datetime | None:
    """When the oldest snapshot that is kept was published: earlier decisions cannot be drawn again."""
    return await connection.fetchval(_OLDEST_SNAPSHOT)  # type: ignore[no-any-return] # asyncpg is untyped


async def campaign_named(connection: Any, external_id: str) -> UUID | None:
    """Our id of a campaign."""
    return await connection.fetchval(_CAMPAIGN, external_id)  # type: ignore[no-any-return] # asyncpg is untyped
