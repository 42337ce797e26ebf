"""What is asked of the decision pipeline, by the API for one person or by push for many, and what it answers."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from schema.decision import Channel, Context, Rules
from service.decision.gains import GainAsk
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson


class Ask(msgspec.Struct, frozen=True, gc=False):
    """One decision to be made at the instant `now` of its batch.

    `silences` say why the person is to be left in peace whatever the offers, by the rules of contact. `candidates` are ids of offers, None for all. `entropy` (ten bytes) makes the decision's id and so the draw. `gain` is there for the
    goal incremental_value. `is_budgeted` says that the campaign has a budget of its own. `also` are further channels that the one decision
    serves: the offer must be fit for all, and who cannot be pushed is reached by them.
    """

    placement: str
    channel: Channel
    rules: Rules
    context: Context
    candidates: tuple[int, ...] | None
    excluded: tuple[int, ...]
    holdout_share: float
    control_share: float
    campaign_id: UUID | None
    entropy: bytes
    gain: GainAsk | None = None
    silences: tuple[str, ...] = ()
    is_budgeted: bool = False
    also: tuple[Channel, ...] = ()


class Reserved(NamedTuple):
    """A promise that an offer will be there until an instant."""

    reservation_id: UUID
    expires_at: datetime


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What was drawn: offers by index and their conditional propensities, by slot; pmf (eligible,) of the first slot, of the eligible offers
    alone in their order; the probability of sending, which is 1 without a gate, and the outcome of the gate.
    """

    chosen: list[int]
    propensities: list[float]
    pmf: npt.NDArray[np.float64]
    send_probability: float
    is_sent: bool


class Decided(msgspec.Struct, frozen=True, gc=False):
    """One decision as it was logged; `offer_indices` point into `catalogue` and are empty when nothing is to be shown.

    `reserved` has what is promised of each of these offers, None for one without an end.
    """

    decision_id: UUID
    person: DecisionPerson
    catalogue: Catalogue
    offer_indices: tuple[int, ...]
    draw: Outcome | None
    in_holdout: bool
    in_control: bool
    policy: str
    snapshot_version: int
    reason_codes: tuple[str, ...]
    decided_at: datetime
    reserved: tuple[Reserved | None, ...]
    is_degraded: bool = False
    """Made while PostgreSQL did not answer, from a remembered row."""
