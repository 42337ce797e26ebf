"""A decision request, its answer, and the decision as it is logged."""

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.base import Incoming, Kept
from schema.external_id import ExternalId
from schema.offer import Creative, OfferKey
from schema.policy import PolicyKind

SLOTS_MAX: Final = 12
"""With this many slots and everything else at its extreme a logged decision is just below 4 KiB."""

LIFE_OF_A_DECISION_S: Final = 15 * 60


class Channel(IntEnum):
    """Where an offer is shown. The numbers are stored."""

    IN_APP = 0
    PUSH = 1
    WEBHOOK = 2
    EMAIL = 3
    INBOX = 4  # of the app, where an offer lies until its life is over


class Action(IntEnum):
    """What was decided. The numbers are stored."""

    NO_SEND = 0
    OFFER = 1


class Context(Incoming, frozen=True):
    """The default context schema of a store app: what the app knows of the moment. All of it is optional."""

    store_id: Annotated[str, Meta(max_length=64)] | None = None
    distance_m: Annotated[float, Meta(ge=0, le=50_000_000)] | None = None
    temperature_c: Annotated[float, Meta(ge=-90, le=60)] | None = None
    is_raining: bool | None = None
    basket_tags: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=64)] = []
    local_time: datetime | None = None


class DecisionRequest(Incoming, frozen=True):
    """The body of POST /v1/decisions."""

    user_id: ExternalId | None = None
    anonymous_id: ExternalId | None = None
    placement: Annotated[str, Meta(min_length=1, max_length=64)] = "home"
    slots: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    context: Context = msgspec.field(default_factory=Context)
    exclude: Annotated[list[OfferKey], Meta(max_length=1000)] = []
    channel: Literal["in_app"] = "in_app"


class Reservation(Kept, frozen=True):
    """A promise that the offer will be there for this person until an instant: POST /v1/redemptions takes its id."""

    reservation_id: UUID
    expires_at: datetime


class DecidedOffer(Kept, frozen=True, omit_defaults=True):
    """One slot of the answer. `propensity` is told only to an sk key; an offer without an end has no `reservation`."""

    offer_id: str
    slot: int
    creative: Creative
    propensity: float | None = None
    reservation: Reservation | None = None


class DecisionAnswer(Kept, frozen=True, omit_defaults=True):
    """The answer to POST /v1/decisions. A `degraded` one was made while the database was away, from what was known of the person before."""

    decision_id: UUID
    action: Literal["offer", "no_send"]
    offers: list[DecidedOffer]
    reason_codes: list[str]
    policy: str
    snapshot_version: int
    holdout: bool
    expires_at: datetime
    feedback_applied_through: datetime | None = None
    degraded: bool = False


class ShownDecision(Kept, frozen=True):
    """A decision that was made before, as its person may see it."""

    decision_id: UUID
    action: Literal["offer", "no_send"]
    offers: list[DecidedOffer]


class Rules(Kept, frozen=True):
    """What entered the draw beside the person and the snapshot; logged, so that a replay uses the same."""

    slots: int
    floor: float
    gate_floor: float
    values: list[float]  # of one open, of one redemption
    attention_price: float  # of a push, to somebody who has answered all earlier ones
    is_gated: bool
    can_be_negative: bool
    kind: PolicyKind = "thompson"  # this and the next are not in the oldest decisions
    exploration: float = 0.1  # what it means depends on the kind, see bandits.policies.choice
    per_tag_max: int = 0
    policy: str = "default@0"  # its name and version


class GainInputs(Kept, frozen=True):
    """What entered a draw for the goal incremental_value besides; the worth of the offers is that of the catalogue's version."""

    effect_version: int  # of what was known of pushes; 0 is the prior
    exploration: float  # Thompson's scale
    own_mean: float | None = (
        None  # of what pushes do to this person, on the log-odds; null: not known, or not to be used
    )
    own_variance: float | None = None


class DecisionInputs(Kept, frozen=True):
    """The `request` column of a logged decision: what entered the draw beside the columns of their own.

    Candidates and exclusions are in the eligibility bitmap already. Of a basket the tags that some offer carries are kept, by id.
    """

    rules: Rules
    context: Context
    local_hour: int
    may_personalise: bool
    basket_tag_ids: list[int]
    decided_at: datetime
    dispersion: float = 1.0  # of the redemptions the snapshot was learned from
    gain: GainInputs | None = None  # null: the goal is redemptions
    prices: list[tuple[int, float]] = []  # of offers by our id, in what a redemption is worth
    cost_price: float = 0.0  # the same of a campaign's budget, for each minor unit that a discount costs


class ExplanationAnswer(Kept, frozen=True):
    """Why this deal: in words for the person, in numbers for whoever runs the shop (sk keys only)."""

    decision_id: UUID
    headline: str
    because: list[str]
    data_used: list[str]
    controls: list[str]
    numbers: dict[str, Any] | None = None


class ReplayAnswer(Kept, frozen=True):
    """`identical` when the pmf recomputed from the snapshot has the logged hash, and the draw the logged offers."""

    identical: bool
    differences: list[str]
    propensities: list[float]
