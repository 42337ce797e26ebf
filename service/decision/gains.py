"""Decisions of campaigns whose goal is what a push adds: worth in money, what is believed of the person, and the draw by gains."""

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits import incremental
from bandits.incremental import Known, Own, Worth
from bandits.kernels import random
from bandits.personal import PersonalScores
from bandits.policies.draw import Draw, Offers, Terms
from bandits.policies.incremental_draw import GainTerms, draw_gain
from bandits.policies.model import Model
from bandits.policies.scores import score
from schema.decision import DecisionInputs, GainInputs
from service.decision import inputs
from service.store.catalogue import Catalogue
from service.store.effects import OwnPart


class GainAsk(NamedTuple):
    """What a decision with this goal is asked with besides: an effect and its version, Thompson's scale, the person's own part if known."""

    known: Known
    effect_version: int
    exploration: float
    own: OwnPart | None


def logged(asked: GainAsk | None, *, may_personalise: bool) -> GainInputs | None:
    """What is logged of it, so that the decision can be drawn again."""
    if asked is None:
        return None
    own = asked.own if may_personalise else None
    return GainInputs(
        effect_version=asked.effect_version,
        exploration=asked.exploration,
        own_mean=None if own is None else own.mean,
        own_variance=None if own is None else own.variance,
    )


@lru_cache(maxsize=4)
def worth_of(catalogue: Catalogue) -> Worth:
    """What each offer gives and takes, in minor units of its currency."""
    margin = np.array([one.offer.margin_minor for one in catalogue.offers], np.float64)
    return Worth(margin, catalogue.discount_minor)


@lru_cache(maxsize=4)
def is_priced(catalogue: Catalogue, currency: str) -> npt.NDArray[np.bool_]:
    """Offers (offers,) of which a margin in this currency is known, and what their discount takes of it."""
    offers = [one.offer for one in catalogue.offers]
    return np.array([offer.currency == currency and offer.has_worth() for offer in offers], np.bool_)


def own_of(catalogue: Catalogue, known: Known, given: DecisionInputs) -> Own:
    """What is believed of the person, (offers,): the prior where nothing personal is known or may be used."""
    gain, count = given.gain, len(catalogue.ids)
    mean, variance = np.zeros(count), np.full(count, known.effect.own_variance)
    if gain is not None and gain.own_mean is not None and gain.own_variance is not None and given.may_personalise:
        may_be_personal = inputs.of_catalogue(catalogue).may_be_personal
        mean[may_be_personal], variance[may_be_personal] = gain.own_mean, gain.own_variance
    return Own(mean, variance)


def gains_of(
    catalogue: Catalogue, known: Known, given: DecisionInputs, phi: npt.NDArray[np.float32]
) -> incremental.Gain:
    """Of each offer, before attention, in minor units."""
    return incremental.gain(known, own_of(catalogue, known, given), phi, worth_of(catalogue))


def draw(
    model: Model,
    known: Known,
    catalogue: Catalogue,
    given: DecisionInputs,
    offers: Offers,
    terms: Terms,
    decision_id: UUID,
    own: PersonalScores | None,
) -> Draw:
    """One offer by its gain, and the gate; a function of its arguments.

    What the shared model predicts of it is told too: redemptions are learned from these pushes as from any other.

    Raises:
        NotFiniteError: a gain, a prediction or a deviation is not finite.
    """
    exploration = terms.exploration if given.gain is None else given.gain.exploration
    key = random.key_from_bytes(decision_id.bytes)
    by = GainTerms(terms.floor, exploration, terms.gate_floor, terms.attention_price)
    drawn = draw_gain(
        known, own_of(catalogue, known, given), offers.phi, worth_of(catalogue), offers.mask, by, key, offers.prices
    )
    chosen = np.array([drawn.chosen], np.int64)
    scores = score(model, offers.phi, terms.values, None, own)
    return Draw(
        chosen,
        drawn.pmf[chosen],
        drawn.pmf,
        scores.predictions(chosen),
        scores.personal_offsets[chosen],
        drawn.send_probability,
        drawn.is_sent,
    )
