"""What offers and campaigns may give away in all, and what of it is promised or redeemed.

The row of a holder is its lock: whoever changes a reservation or a redemption holds the rows that it counts in, taken in one statement
in the order of the holders.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.offer import Offer

NO_LIMIT: Final = 1 << 62
"""What is left where there is no limit."""

_PUT: Final = """
    insert into allowances (holder, redemptions_max, budget_minor, ends_at)
    select n.holder, n.redemptions_max, n.budget_minor, n.ends_at
      from (select holder_of(o.offer_id) as holder, t.redemptions_max, t.budget_minor, t.ends_at
              from unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[]) as t(external_id, redemptions_max, budget_minor, ends_at)
              join offers o using (external_id)) n
      left join allowances a using (holder)
     where a.holder is null
        or (a.redemptions_max, a.budget_minor, a.ends_at) is distinct from (n.redemptions_max, n.budget_minor, n.ends_at)
     order by n.holder
    on conflict (holder) do update
       set redemptions_max = excluded.redemptions_max, budget_minor = excluded.budget_minor, ends_at = excluded.ends_at, paced_at = null
"""
_READ: Final = """
    select holder, redemptions_max, budget_minor, reserved, reserved_minor, redeemed, redeemed_minor, ends_at,
           ahead, paced_at, paced_count, paced_minor
      from allowances
     where holder = any($1::uuid[]) order by holder
"""
_OF_OFFER: Final = """
    select a.holder, a.redemptions_max, a.budget_minor, a.reserved, a.reserved_minor, a.redeemed, a.redeemed_minor, a.ends_at,
           a.ahead, a.paced_at, a.paced_count, a.paced_minor
      from offers o join offer_versions v on v.offer_id = o.offer_id and v.to_version is null
      join allowances a on a.holder = holder_of(o.offer_id)
     where o.external_id = $1
"""
_HOLD: Final = _READ + " for update"
_PACE: Final = """
    update allowances a set ahead = t.ahead, paced_at = t.paced_at, paced_count = t.paced_count, paced_minor = t.paced_minor
      from unnest($1::uuid[], $2::float8[], $3::timestamptz[], $4::bigint[], $5::bigint[])
           as t(holder, ahead, paced_at, paced_count, paced_minor)
     where a.holder = t.holder
"""
_MOVE: Final = """
    update allowances a set reserved = a.reserved + t.reserved, reserved_minor = a.reserved_minor + t.reserved_minor,
           redeemed = a.redeemed + t.redeemed, redeemed_minor = a.redeemed_minor + t.redeemed_minor
      from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
           as t(holder, reserved, reserved_minor, redeemed, redeemed_minor)
     where a.holder = t.holder
"""


class Pace(NamedTuple):
    """How far taking was ahead of time at an instant (None: it was not reckoned yet), and what was left then."""

    ahead: float = 0.0
    at: datetime | None = None
    count_left: int | None = None
    minor_left: int | None = None


class Allowance(NamedTuple):
    """How a holder stands, and until when it should last; a limit of None is none. Amounts are in minor units."""

    redemptions_max: int | None
    budget_minor: int | None
    reserved: int
    reserved_minor: int
    redeemed: int
    redeemed_minor: int
    ends_at: datetime | None = None
    pace: Pace = Pace()

    @property
    def count_left(self) -> int:
        """Redemptions that are neither made nor promised; below 0 where the limit was lowered since."""
        return NO_LIMIT if self.redemptions_max is None else self.redemptions_max - self.reserved - self.redeemed

    @property
    def minor_left(self) -> int:
        """Money of the budget that is neither spent nor promised; below 0 where the budget was lowered since."""
        return NO_LIMIT if self.budget_minor is None else self.budget_minor - self.reserved_minor - self.redeemed_minor


NONE: Final = Allowance(None, None, 0, 0, 0, 0)
"""Of a holder without limits that has given nothing away."""


class Change(NamedTuple):
    """What is added to the counts of a holder."""

    reserved: int = 0
    reserved_minor: int = 0
    redeemed: int = 0
    redeemed_minor: int = 0

    def plus(self, other: "Change") -> "Change":
        """Both together."""
        return Change(*(one + more for one, more in zip(self, other, strict=True)))


def holder_of(offer_id: int) -> UUID:
    """The holder that an offer is; as the function of this name in SQL."""
    return UUID(int=offer_id)


async def put(connection: Any, offers: Sequence[Offer]) -> None:
    """Takes over the limits of offers that are in the catalogue, in the transaction that changed them."""
    given = [(offer.offer_id, offer.redemptions_max, offer.budget_minor, offer.ends_at) for offer in offers]
    await connection.execute(_PUT, *map(list, zip(*given, strict=True)))


async def read(connection: Any, holders: Collection[UUID]) -> dict[UUID, Allowance]:
    """How holders stand at this moment."""
    return {row[0]: _known(row) for row in await connection.fetch(_READ, list(holders))}


async def of_offer(connection: Any, external_id: str) -> Allowance | None:
    """How an offer stands, by the name the operator gave it; None when it is not in the catalogue."""
    row = await connection.fetchrow(_OF_OFFER, external_id)
    return _known(row) if row else None


async def hold(connection: Any, holders: Collection[UUID]) -> dict[UUID, Allowance]:
    """How holders stand, and do until the caller's transaction ends. A transaction calls this once: more of it could wait in a circle."""
    return {row[0]: _known(row) for row in await connection.fetch(_HOLD, list(holders))}


def _known(row: Any) -> Allowance:
    return Allowance(*row[1:8])._replace(pace=Pace(*row[8:]))


async def change(connection: Any, changes: Mapping[UUID, Change]) -> None:
    """Adds to the counts of holders that the caller's transaction holds."""
    if changes:
        columns = [list(column) for column in zip(*changes.values(), strict=True)]
        await connection.execute(_MOVE, list(changes), *columns)


async def pace(connection: Any, paces: Mapping[UUID, Pace]) -> None:
    """Notes how far the taking of holders is ahead of time, which the caller's transaction holds."""
    if paces:
        await connection.execute(_PACE, list(paces), *map(list, zip(*paces.values(), strict=True)))
