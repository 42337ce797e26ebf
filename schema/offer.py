"""An offer (the arm of the bandit) and its creative."""

import math
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from schema.base import Incoming, Kept
from schema.event import Tag
from schema.wording import LANGUAGES_MAX, LanguageTag, Words

OFFERS_MAX: Final = 5_000
TAGS_PER_OFFER_MAX: Final = 8

OfferKey = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$(?!\n)")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]
Limit = Annotated[int, Meta(ge=1, le=10**12)]


class Creative(Kept, frozen=True, forbid_unknown_fields=True):
    """What a person sees of an offer."""

    title: Annotated[str, Meta(min_length=1, max_length=120)]
    body: Annotated[str, Meta(max_length=400)] = ""
    image_url: Annotated[str, Meta(max_length=2048, pattern=r"^https://")] | None = None
    deep_link: Annotated[str, Meta(max_length=2048)] | None = None


class Offer(Incoming, frozen=True):
    """An offer as the API takes and gives it. Amounts are in minor units of `currency`.

    A sensitive offer, or one with a min_age, never uses the person's tastes: it is scored as for a stranger, and one with a min_age
    goes only to people known to be old enough. `is_redeemable` says whether it gives something of value; null, the default, means that
    it does when it has a discount or a code. A campaign needs at least one offer that does. `redemptions_max` is how often it may be
    redeemed in all, `budget_minor` what its discounts may cost in all; null is no such limit (docs/redemptions.md). `localised` are the words
    of the creative by language (`de-AT`, `de`): who speaks none of them reads the creative's own.
    """

    offer_id: OfferKey
    creative: Creative
    tags: Annotated[list[Tag], Meta(min_length=1, max_length=TAGS_PER_OFFER_MAX)]
    localised: Annotated[dict[LanguageTag, Words], Meta(max_length=LANGUAGES_MAX)] = {}
    discount_type: Literal["none", "percent", "amount", "gift"] = "none"
    discount_minor: Annotated[int, Meta(ge=0)] = 0
    discount_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    price_minor: Annotated[int, Meta(ge=0)] = 0
    margin_minor: int = 0
    currency: Currency = "USD"
    is_redeemable: bool | None = None
    code: Annotated[str, Meta(max_length=128)] | None = None
    redemptions_max: Limit | None = None
    budget_minor: Limit | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    store_ids: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=10_000)] = []
    exclude_store_ids: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=10_000)] = []
    channels: list[Literal["push", "in_app"]] = msgspec.field(default_factory=lambda: ["push", "in_app"])
    min_age: Annotated[int, Meta(ge=0, le=120)] = 0
    is_sensitive: Annotated[bool, Meta()] = msgspec.field(name="sensitive", default=False)
    is_paused: Annotated[bool, Meta()] = msgspec.field(name="paused", default=False)

    def has_value(self) -> bool:
        """Whether it gives something: as was told, else by its discount and code."""
        is_given = self.discount_type != "none" or self.code is not None
        return is_given if self.is_redeemable is None else self.is_redeemable

    def is_private(self) -> bool:
        """Whether a locked phone must not show it."""
        return self.is_sensitive or self.min_age > 0

    def has_worth(self) -> bool:
        """Whether it can be told what a piece earns and what a redemption takes of it: by its margin, and the price of a percentage."""
        return self.margin_minor > 0 and (self.discount_type != "percent" or self.price_minor > 0)

    def holds_in(self, store_id: str | None) -> bool:
        """Whether it holds in this store; None is a store that is not known, where all that names no others holds."""
        return (
            not self.store_ids or store_id is None or store_id in self.store_ids
        ) and store_id not in self.exclude_store_ids

    def is_limited(self) -> bool:
        """Whether there is an end to it: then it is reserved for whoever is told of it."""
        return self.redemptions_max is not None or self.budget_minor is not None

    def cost_minor(self) -> int:
        """What one redemption takes of a budget, rounded up; 0 where that is not known before the till says it."""
        if self.discount_type == "percent":
            return math.ceil(round(self.price_minor * self.discount_percent / 100, 6))
        return self.discount_minor


class StoredOffer(Kept, frozen=True):
    """An offer of the catalogue with our own ids; tag_ids are sorted."""

    id: int
    tag_ids: list[int]
    offer: Offer
