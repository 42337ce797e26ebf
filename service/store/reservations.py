"""Promises to people: one open one for each person and offer. Whoever changes one holds the allowances it counts in."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

IN_APP: Final = UUID(int=0)
"""Holds a reservation for all decisions that told of it in the app: those are not taken back."""

KEPT_FOR: Final = timedelta(days=90)
ROWS_MAX: Final = 5_000

_OPEN: Final = """
    select user_id, reservation_id, offer_id, expires_at from reservations where user_id = any($1::bigint[]) and state = 0
"""
_PUT: Final = """
    insert into reservations (user_id, reservation_id, offer_id, taken_from, discount_minor, state, made_at, expires_at, held_by)
    select t.user_id, t.reservation_id, t.offer_id, array_remove(array[holder_of(t.offer_id), t.campaign_id], null), t.discount_minor,
           0, $8, t.expires_at, array[t.decision_id]
      from unnest($1::bigint[], $2::uuid[], $3::integer[], $4::uuid[], $5::bigint[], $6::timestamptz[], $7::uuid[])
           as t(user_id, reservation_id, offer_id, campaign_id, discount_minor, expires_at, decision_id)
    on conflict do nothing
"""
_EXTEND: Final = """
    update reservations r set expires_at = greatest(r.expires_at, t.expires_at),
           held_by = array(select unnest(r.held_by) union select unnest(t.decision_ids))
      from (select user_id, reservation_id, max(expires_at) as expires_at, array_agg(decision_id) as decision_ids
              from unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::uuid[]) as n(user_id, reservation_id, expires_at, decision_id)
             group by user_id, reservation_id) t
     where r.user_id = t.user_id and r.reservation_id = t.reservation_id and r.state = 0
"""
# The locks are taken before anything changes: what others changed meanwhile is then looked at again, row by row.
_EXPIRE: Final = """
    with found as materialized (
        select user_id, reservation_id, taken_from from reservations
         where state = 0 and expires_at <= $1 order by expires_at limit $2
    ), locked as materialized (
        select holder from allowances where holder in (select unnest(taken_from) from found) order by holder for update
    ), freed as (
        update reservations r set state = 2 from found f
         where r.user_id = f.user_id and r.reservation_id = f.reservation_id and r.state = 0 and r.expires_at <= $1
           and (select count(*) from locked) > 0
        returning r.taken_from, r.discount_minor
    ), sums as (
        select holder, count(*) as reserved, sum(discount_minor) as reserved_minor
          from freed cross join unnest(taken_from) as holder group by holder
    )
    update allowances a set reserved = a.reserved - s.reserved, reserved_minor = a.reserved_minor - s.reserved_minor
      from sums s where a.holder = s.holder
"""
_PURGE: Final = """
    delete from reservations where ctid = any (array(
        select ctid from reservations where state <> 0 and expires_at < $1 order by expires_at limit $2 for update skip locked))
"""


_HOLD_OF: Final = """
    select holder from allowances
     where holder in (select unnest(taken_from) from reservations where user_id = any($1::bigint[]) and state = 0) order by holder for update
"""
# Of two promises of the same offer to one person one stays: for all who told of either, and as long as the longer one.
_UNITE: Final = """
    with freed as (
        update reservations l set state = 2
         where l.user_id = $2 and l.state = 0
           and exists (select 1 from reservations k where k.user_id = $1 and k.offer_id = l.offer_id and k.state = 0)
        returning l.offer_id, l.taken_from, l.discount_minor, l.expires_at, l.held_by
    ), stay as (
        update reservations k set expires_at = greatest(k.expires_at, f.expires_at),
               held_by = array(select unnest(k.held_by) union select unnest(f.held_by))
          from freed f where k.user_id = $1 and k.offer_id = f.offer_id and k.state = 0
    ), sums as (
        select holder, count(*) as reserved, sum(discount_minor) as reserved_minor
          from freed cross join unnest(taken_from) as holder group by holder
    )
    update allowances a set reserved = a.reserved - s.reserved, reserved_minor = a.reserved_minor - s.reserved_minor
      from sums s where a.holder = s.holder
"""
_MOVE: Final = "update reservations set user_id = $1 where user_id = $2"
_MOVE_REDEMPTIONS: Final = "update redemptions set user_id = $1 where user_id = $2"


class Open(NamedTuple):
    """An open reservation; it counts as promised until it is released, also after it has expired."""

    user_id: int
    reservation_id: UUID
    offer_id: int
    expires_at: datetime


class New(NamedTuple):
    """A reservation to be made; with a campaign it counts in its budget too."""

    user_id: int
    reservation_id: UUID
    offer_id: int
    campaign_id: UUID | None
    discount_minor: int
    expires_at: datetime
    held_by: UUID


class Longer(NamedTuple):
    """An open reservation that another decision tells of."""

    user_id: int
    reservation_id: UUID
    offer_id: int
    expires_at: datetime
    held_by: UUID


async def open_of(connection: Any, user_ids: Collection[int]) -> list[Open]:
    """All open reservations of these people."""
    return [Open(*row) for row in await connection.fetch(_OPEN, list(user_ids))]


async def put(connection: Any, new: Sequence[New], now: datetime) -> bool:
    """Makes reservations; False when somebody has an open one of the same offer already."""
    made = await connection.execute(_PUT, *_columns(new), now)
    return bool(made == f"INSERT 0 {len(new)}")


async def extend(connection: Any, longer: Sequence[Longer]) -> bool:
    """Makes reservations hold longer, and for more decisions; False when one of them is open no more."""
    changed = await connection.execute(_EXTEND, *_columns([one[:2] + one[3:] for one in longer]))
    return bool(changed == f"UPDATE {len({one.reservation_id for one in longer})}")


async def expire(connection: Any, now: datetime) -> None:
    """Releases the reservations that have run out; some thousands at a call."""
    await connection.execute(_EXPIRE, now, ROWS_MAX)


async def move(connection: Any, kept: int, lost: int) -> None:
    """Gives what was promised to a user, and what they redeemed, to the one they are merged into."""
    await connection.execute(_HOLD_OF, [kept, lost])
    await connection.execute(_UNITE, kept, lost)
    await connection.execute(_MOVE, kept, lost)
    await connection.execute(_MOVE_REDEMPTIONS, kept, lost)


async def purge(connection: Any, now: datetime) -> None:
    """Forgets what was redeemed or released long ago; some thousands at a call."""
    await connection.execute(_PURGE, now - KEPT_FOR, ROWS_MAX)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
