"""What offers and campaigns may give away in all, and what of it is promised or redeemed.

The row of a holder is its lock: whoever changes a reservation or a redemption holds the rows that it counts in, taken in one statement
in the order of the holders.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.offer import Offer

NO_LIMIT: Final = 1 << 62
"""What is left where there is no limit."""

_PUT: Final = """
    insert into allowances (holder, redemptions_max, budget_minor)
    select n.holder, n.redemptions_max, n.budget_minor
      from (select holder_of(o.offer_id) as holder, t.redemptions_max, t.budget_minor
              from unnest($1::text[], $2::bigint[], $3::bigint[]) as t(external_id, redemptions_max, budget_minor)
              join offers o using (external_id)) n
      left join allowances a using (holder)
     where a.holder is null or (a.redemptions_max, a.budget_minor) is distinct from (n.redemptions_max, n.budget_minor)
     order by n.holder
    on conflict (holder) do update set redemptions_max = excluded.redemptions_max, budget_minor = excluded.budget_minor
"""
_READ: Final = """
    select holder, redemptions_max, budget_minor, reserved, reserved_minor, redeemed, redeemed_minor from allowances
     where holder = any($1::uuid[]) order by holder
"""
_HOLD: Final = _READ + " for update"
_MOVE: Final = """
    update allowances a set reserved = a.reserved + t.reserved, reserved_minor = a.reserved_minor + t.reserved_minor,
           redeemed = a.redeemed + t.redeemed, redeemed_minor = a.redeemed_minor + t.redeemed_minor
      from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
           as t(holder, reserved, reserved_minor, redeemed, redeemed_minor)
     where a.holder = t.holder
"""


class Allowance(NamedTuple):
    """How a holder stands; a limit of None is none. Amounts are in minor units."""

    redemptions_max: int | None
    budget_minor: int | None
    reserved: int
    reserved_minor: int
    redeemed: int
    redeemed_minor: int

    @property
    def count_left(self) -> int:
        """Redemptions that are neither made nor promised; below 0 where the limit was lowered since."""
        return NO_LIMIT if self.redemptions_max is None else self.redemptions_max - self.reserved - self.redeemed

    @property
    def minor_left(self) -> int:
        """Money of the budget that is neither spent nor promised; below 0 where the budget was lowered since."""
        return NO_LIMIT if self.budget_minor is None else self.budget_minor - self.reserved_minor - self.redeemed_minor


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
    limits = [[offer.redemptions_max for offer in offers], [offer.budget_minor for offer in offers]]
    await connection.execute(_PUT, [offer.offer_id for offer in offers], *limits)


async def read(connection: Any, holders: Collection[UUID]) -> dict[UUID, Allowance]:
    """How holders stand at this moment."""
    return {row[0]: Allowance(*row[1:]) for row in await connection.fetch(_READ, list(holders))}


async def hold(connection: Any, holders: Collection[UUID]) -> dict[UUID, Allowance]:
    """How holders stand, and do until the caller's transaction ends. A transaction calls this once: more of it could wait in a circle."""
    return {row[0]: Allowance(*row[1:]) for row in await connection.fetch(_HOLD, list(holders))}


async def change(connection: Any, changes: Mapping[UUID, Change]) -> None:
    """Adds to the counts of holders that the caller's transaction holds."""
    if changes:
        columns = [list(column) for column in zip(*changes.values(), strict=True)]
        await connection.execute(_MOVE, list(changes), *columns)
