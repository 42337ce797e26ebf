"""One decision drawn: scores of the shared model, the pmf over the eligible offers, the slate, and whether to send at all.

The numbers that are logged are those the draw was made with: every propensity is exact by construction, whatever the error of the
scores. Uniform numbers come from the decision's own key by counting, so the draw can be repeated.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import gate, random, slate
from bandits.personal import PersonalScores
from bandits.policies import choice
from bandits.policies.choice import Choice
from bandits.policies.model import Model
from bandits.policies.scores import NotFiniteError, Scores, score
from schema.policy import PolicyKind

GATE_DRAW: Final = random.FIRST_FREE_INDEX
"""Index of the uniform number that decides whether to send."""

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class Terms(NamedTuple):
    """What the operator has set for this draw; `values` is (heads,) the worth of one reward of each head.

    `exploration` is the scale of the deviations for Thompson, how many of them UCB adds, and the share that epsilon-greedy spreads.
    `per_tag_max` slots of a slate go to one tag, as far as there are others; 0 is no such rule.
    """

    kind: PolicyKind
    slots: int
    floor: float
    exploration: float
    values: tuple[float, ...]
    per_tag_max: int
    is_gated: bool
    gate_floor: float
    attention_price: float
    can_be_negative: bool


class Offers(NamedTuple):
    """The offers of one draw: phi (offers, d), mask (offers,) of the eligible, tags (offers, n) padded with -1, shadow prices (offers,).

    At least one is eligible. Without prices nothing is subtracted from the values.
    """

    phi: F32
    mask: npt.NDArray[np.bool_]
    tags: npt.NDArray[np.int16]
    prices: F64 | None = None


class Draw(NamedTuple):
    """What was drawn, by slot: offers by index, conditional propensities, predictions (slots, heads, mean and variance of eta).

    The person's own part is in the predictions; its part in the mean of the redeem head is in `personal_offsets` (slots,).
    `pmf` is (offers,) float64 for slot 0. `send_probability` is 1 without a gate; `is_sent` the outcome of the gate.
    """

    chosen: npt.NDArray[np.int64]
    propensities: F64
    pmf: F64
    predictions: F32
    personal_offsets: F32
    send_probability: float
    is_sent: bool


def draw(model: Model, offers: Offers, terms: Terms, key: int, personal: PersonalScores | None = None) -> Draw:
    """Draws a slate by the policy of `terms`, from a full pmf over the eligible offers for every slot.

    Args:
        model: the snapshot decided with.
        offers: what there is to choose from.
        terms: what the operator has set.
        key: 64 bits made of the decision's id.
        personal: the person's own part of the model, None for none.

    Raises:
        NotFiniteError: a prediction, a value or its deviation is not finite.
    """
    scores = score(model, offers.phi, terms.values, offers.prices, personal)
    chosen_by = choice.of(terms.kind, scores, offers.phi, terms.exploration)
    drawn = _draw(scores, chosen_by, offers, terms, key)
    send_probability = _send_probability(scores, chosen_by, int(drawn.chosen[0]), offers, terms)
    predictions = scores.predictions(drawn.chosen)
    if not 0.0 <= send_probability <= 1.0:
        raise NotFiniteError("the probability of sending is none")
    return Draw(
        *drawn,
        predictions,
        scores.personal_offsets[drawn.chosen],
        send_probability,
        bool(random.uniform(key, GATE_DRAW) < send_probability),
    )


class _Slots(NamedTuple):
    chosen: npt.NDArray[np.int64]
    propensities: F64
    pmf: F64


def _draw(scores: Scores, chosen_by: Choice, offers: Offers, terms: Terms, key: int) -> _Slots:
    slots = min(terms.slots, int(np.count_nonzero(offers.mask)))
    chosen, propensities, pmf = np.empty(slots, np.int64), np.empty(slots), np.empty((slots, len(offers.mask)))
    filled = slate.draw_slate(
        chosen_by.level,
        scores.whitened,
        scores.eta,
        scores.chance,
        scores.worth,
        scores.is_logit,
        chosen_by.spread,
        chosen_by.optimism,
        offers.mask,
        offers.tags,
        terms.per_tag_max,
        slots,
        max(terms.floor, chosen_by.floor),
        key,
        chosen,
        propensities,
        pmf,
    )
    if filled < slots:
        raise NotFiniteError("the deviation of a value is not finite")
    return _Slots(chosen, propensities, pmf[0])


def _send_probability(scores: Scores, chosen_by: Choice, first: int, offers: Offers, terms: Terms) -> float:
    if not terms.is_gated:
        return 1.0
    if not chosen_by.is_predicting:
        return 1.0 - terms.gate_floor
    deviation = scores.deviation(first)
    value = float(scores.value[first]) + chosen_by.optimism * deviation
    is_nonnegative = not terms.can_be_negative and offers.prices is None
    return gate.send_probability(
        value, chosen_by.spread * deviation, terms.attention_price, terms.gate_floor, is_nonnegative
    )
