"""Redemptions in PostgreSQL: written, found and rolled back. Whoever writes holds the person, and the allowances it counts in."""

from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.redemption import Redemption

OPEN: Final = 0
REDEEMED: Final = 1
RELEASED: Final = 2

_RESERVATION: Final = """
    select r.user_id, r.reservation_id, r.offer_id, r.taken_from, r.discount_minor, r.state, r.expires_at
      from reservations r where r.reservation_id = $1
"""
_OPEN_OF: Final = """
    select user_id, reservation_id, offer_id, taken_from, discount_minor, state, expires_at from reservations
     where user_id = any(array(select $1::bigint union all select user_id from users where merged_into = $1))
       and offer_id = $2 and state = 0 order by user_id <> $1 limit 1
"""
_CLOSE: Final = "update reservations set state = 1 where user_id = $1 and reservation_id = $2 and state = 0 returning 1"
_REOPEN: Final = """
    update reservations r set state = 0
     where r.user_id = $1 and r.reservation_id = $2 and r.state = 1
       and not exists (select 1 from reservations o where o.user_id = r.user_id and o.offer_id = r.offer_id and o.state = 0)
    returning 1
"""
_PUT: Final = """
    insert into redemptions (user_id, redemption_id, offer_id, reservation_id, taken_from, discount_minor, occurred_at, store_id,
                             reference, event_id)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_FIND: Final = """
    select user_id, redemption_id, offer_id, reservation_id, taken_from, discount_minor, occurred_at, store_id, reference, event_id,
           rolled_back_at
      from redemptions where redemption_id = $1
"""
_SHOW: Final = """
    select r.redemption_id, case when r.rolled_back_at is null then 'redeemed' else 'rolled_back' end as status,
           o.external_id as offer_id, r.reservation_id, r.discount_minor, r.occurred_at, r.store_id, r.reference, r.rolled_back_at
      from redemptions r join offers o using (offer_id) where r.redemption_id = $1
"""
_ROLL_BACK: Final = """
    update redemptions set rolled_back_at = $3 where user_id = $1 and redemption_id = $2 and rolled_back_at is null returning 1
"""


class Reservation(NamedTuple):
    """A reservation as the till finds it."""

    user_id: int
    reservation_id: UUID
    offer_id: int
    taken_from: list[UUID]
    discount_minor: int
    state: int
    expires_at: datetime


class StoredRedemption(NamedTuple):
    """A row; `taken_from` are the holders whose allowances it counts in, `event_id` the reward in the log."""

    user_id: int
    redemption_id: UUID
    offer_id: int
    reservation_id: UUID | None
    taken_from: list[UUID]
    discount_minor: int
    occurred_at: datetime
    store_id: str | None
    reference: str | None
    event_id: UUID
    rolled_back_at: datetime | None = None


async def reservation(connection: Any, reservation_id: UUID) -> Reservation | None:
    """A reservation, open or not."""
    row = await connection.fetchrow(_RESERVATION, reservation_id)
    return Reservation(*row) if row else None


async def open_reservation(connection: Any, user_id: int, offer_id: int) -> Reservation | None:
    """What this person, or somebody merged into them, has been promised of an offer; it may have run out and not be released yet."""
    row = await connection.fetchrow(_OPEN_OF, user_id, offer_id)
    return Reservation(*row) if row else None


async def close(connection: Any, reserved: Reservation) -> bool:
    """Marks a reservation as redeemed; False when it is open no more."""
    return await connection.fetchval(_CLOSE, reserved.user_id, reserved.reservation_id) is not None


async def reopen(connection: Any, reserved: Reservation) -> bool:
    """Opens a redeemed reservation again; False when the person has got another one meanwhile."""
    return await connection.fetchval(_REOPEN, reserved.user_id, reserved.reservation_id) is not None


async def put(connection: Any, row: StoredRedemption) -> None:
    """Writes a redemption."""
    await connection.execute(_PUT, *row[:-1])


async def find(connection: Any, redemption_id: UUID) -> StoredRedemption | None:
    """A redemption by its id."""
    row = await connection.fetchrow(_FIND, redemption_id)
    return StoredRedemption(*row) if row else None


async def show(connection: Any, redemption_id: UUID) -> Redemption | None:
    """A redemption as a till sees it."""
    row = await connection.fetchrow(_SHOW, redemption_id)
    return Redemption(**row) if row else None


async def roll_back(connection: Any, row: StoredRedemption, now: datetime) -> bool:
    """Marks a redemption as rolled back; False when it is already."""
    return await connection.fetchval(_ROLL_BACK, row.user_id, row.redemption_id, now) is not None
