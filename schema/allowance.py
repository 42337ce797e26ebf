"""How much of an offer, or of a campaign's budget, is left."""

from schema.base import Kept


class ShownAllowance(Kept, frozen=True):
    """What may be given away in all (null: no such limit), what of it is promised and redeemed, and what is left.

    `shadow_price` is what a promise costs in the draw now, in what a redemption is worth (docs/redemptions.md).
    """

    redemptions_max: int | None
    redemptions_left: int | None
    budget_minor: int | None
    budget_left_minor: int | None
    reserved: int
    reserved_minor: int
    redeemed: int
    redeemed_minor: int
    shadow_price: float
