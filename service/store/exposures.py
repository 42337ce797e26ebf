"""What was shown to whom and when first, and the first answer of each head that counts."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from bandits.features import FEATURE_SET
from schema.ids import lowest_uuid7
from service.store.decision_features import Drawn

DECIDED_BEFORE_SHOWN_MAX: Final = timedelta(days=7)
"""An offer shown later than this after its decision is not found by its offer alone."""

_TOLD_WITHIN: Final = timedelta(days=31)
"""An exposure is not told later than this after its decision (service.learning.facts), and clocks differ by less than the last day."""

# Bounds on decision_id let PostgreSQL leave out the partitions of other days. `offset 0` makes each key a look into an index: a day that has just
# begun has the statistics of its first minute, by which none of the keys asked for is there, and as a join it may be read whole.
_BY_DECISION: Final = """
    select e.user_id, e.decision_id, e.slot, e.offer_id, e.exposed_at, e.opened_at, e.redeemed_at, e.is_push, e.opened_told_at, e.redeemed_told_at
      from unnest($1::bigint[], $2::uuid[]) as k(user_id, decision_id)
      cross join lateral (
        select * from exposures
         where user_id = k.user_id and decision_id = k.decision_id and decision_id between $3 and $4 and exposed_at is not null
        offset 0
      ) e
"""
_BY_OFFER: Final = """
    select e.user_id, e.decision_id, e.slot, e.offer_id, e.exposed_at, e.opened_at, e.redeemed_at, e.is_push, e.opened_told_at, e.redeemed_told_at
      from unnest($1::bigint[], $2::integer[]) as k(user_id, offer_id)
      cross join lateral (
        select * from exposures
         where user_id = k.user_id and offer_id = k.offer_id and decision_id >= $3 and exposed_at between $4 and $5
        offset 0
      ) e
"""
_UNREDEEMED: Final = """
    select user_id, decision_id, slot, exposed_at from exposures
     where redeemed_at is null and exposed_at > $1 and exposed_at <= $2 and decision_id >= $3
     order by exposed_at fetch first ($4::bigint) rows with ties
"""
_PUT: Final = """
    insert into exposures (
        user_id, decision_id, slot, offer_id, exposed_at, opened_at, redeemed_at, is_push, opened_told_at, redeemed_told_at,
        phi, personal_offset, feature_set, counted_by)
    select user_id, decision_id, slot, offer_id, exposed_at, opened_at, redeemed_at, is_push, opened_told_at, redeemed_told_at,
           phi, personal_offset, $13::smallint, pg_current_xact_id()::text::bigint
      from unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::integer[], $5::timestamptz[], $6::timestamptz[],
                  $7::timestamptz[], $8::boolean[], $9::timestamptz[], $10::timestamptz[], $11::bytea[], $12::real[])
           as n(user_id, decision_id, slot, offer_id, exposed_at, opened_at, redeemed_at, is_push, opened_told_at, redeemed_told_at,
                phi, personal_offset)
    on conflict (user_id, decision_id, slot) do update
       set offer_id = excluded.offer_id, exposed_at = excluded.exposed_at, opened_at = excluded.opened_at,
           redeemed_at = excluded.redeemed_at, is_push = excluded.is_push, opened_told_at = excluded.opened_told_at,
           redeemed_told_at = excluded.redeemed_told_at, phi = excluded.phi, personal_offset = excluded.personal_offset,
           feature_set = excluded.feature_set, counted_by = excluded.counted_by
"""


class ExposureKey(NamedTuple):
    """One slot of one decision."""

    user_id: int
    decision_id: UUID
    slot: int


class Exposure(NamedTuple):
    """What became of a slot that was shown or accepted by FCM as a push; answered_at and when that was told are by head."""

    offer_id: int
    exposed_at: datetime
    answered_at: tuple[datetime | None, datetime | None] = (None, None)
    is_push: bool = False
    told_at: tuple[datetime | None, datetime | None] = (None, None)


async def of_decisions(connection: Any, keys: Collection[tuple[int, UUID]]) -> dict[ExposureKey, Exposure]:
    """The exposures of (user_id, decision_id) pairs, every slot."""
    if not keys:
        return {}
    ids = [key[1] for key in keys]
    return _read(await connection.fetch(_BY_DECISION, [key[0] for key in keys], ids, min(ids), max(ids)))


async def of_offers(
    connection: Any, keys: Collection[tuple[int, int]], since: datetime, until: datetime
) -> dict[ExposureKey, Exposure]:
    """The exposures of (user_id, offer_id) pairs that were shown between two instants."""
    if not keys:
        return {}
    earliest = lowest_uuid7(since - DECIDED_BEFORE_SHOWN_MAX)
    rows = await connection.fetch(_BY_OFFER, [key[0] for key in keys], [key[1] for key in keys], earliest, since, until)
    return _read(rows)


async def unredeemed(
    connection: Any, after: datetime, until: datetime, limit: int
) -> list[tuple[ExposureKey, datetime]]:
    """Unredeemed slots shown after one instant until another and when, the earliest first; beyond `limit` only those of one instant."""
    earliest = lowest_uuid7(after - _TOLD_WITHIN)
    rows = await connection.fetch(_UNREDEEMED, after, until, earliest, limit)
    return [(ExposureKey(row[0], row[1], row[2]), row[3]) for row in rows]


async def put(
    connection: Any, exposures: Mapping[ExposureKey, Exposure], drawn: Mapping[tuple[int, UUID], Drawn]
) -> None:
    """Writes exposures, with what their slots were scored by, features of this program; the caller is the only one who may write for these users."""
    rows = [
        (*key, one.offer_id, one.exposed_at, *one.answered_at, one.is_push, *one.told_at, *_scored(key, drawn))
        for key, one in exposures.items()
    ]
    await connection.execute(_PUT, *map(list, zip(*rows, strict=True)), FEATURE_SET)


def _scored(key: ExposureKey, drawn: Mapping[tuple[int, UUID], Drawn]) -> tuple[bytes, float]:
    decision = drawn[key[:2]]
    return decision.phi[key.slot].astype("<f4").tobytes(), float(decision.offsets[key.slot])


def _read(rows: list[Any]) -> dict[ExposureKey, Exposure]:
    return {
        ExposureKey(row[0], row[1], row[2]): Exposure(row[3], row[4], (row[5], row[6]), row[7], (row[8], row[9]))
        for row in rows
    }
