"""A redemption as a till tells it, and as it is kept."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from schema.base import Incoming, Kept
from schema.event import Instant
from schema.external_id import ExternalId
from schema.offer import OfferKey

Short = Annotated[str, Meta(min_length=1, max_length=64)]


class NewRedemption(Incoming, frozen=True):
    """The body of POST /v1/redemptions: a reservation, or a person with an offer_id or the offer's code.

    `discount_minor` is what was really taken off, if that is not what the offer says; `reference` the till's own name for the sale.
    """

    reservation_id: UUID | None = None
    user_id: ExternalId | None = None
    anonymous_id: ExternalId | None = None
    offer_id: OfferKey | None = None
    code: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    store_id: Short | None = None
    discount_minor: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    reference: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    occurred_at: Instant | None = None


class Redemption(Kept, frozen=True):
    """A redemption; once it is rolled back it counts nowhere any more."""

    redemption_id: UUID
    status: Literal["redeemed", "rolled_back"]
    offer_id: str
    reservation_id: UUID | None
    discount_minor: int
    occurred_at: datetime
    store_id: str | None
    reference: str | None
    rolled_back_at: datetime | None = None
