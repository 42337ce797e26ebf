"""What policies would have done in a logged decision: their probabilities given the slots that were taken, with nothing drawn."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import gate, given_slate
from bandits.personal import PersonalScores
from bandits.policies import choice
from bandits.policies.choice import Choice
from bandits.policies.draw import F64, Offers, Terms
from bandits.policies.model import Model
from bandits.policies.scores import NotFiniteError, Scores, score

_NONE: F64 = np.empty(0)


class Probabilities(NamedTuple):
    """pmf (slots, offers): what each slot is drawn from, given the offers taken before it; send (offers,): that a push leaves if this
    offer is drawn, ones without a gate.
    """

    pmf: F64
    send: F64


class Judged(NamedTuple):
    """The probabilities of each policy, in order, and the reward (offers,) that the model expects of showing an offer."""

    policies: list[Probabilities]
    expected: F64


def judged(
    model: Model,
    offers: Offers,
    policies: Sequence[Terms],
    taken: npt.NDArray[np.int64],
    personal: PersonalScores | None = None,
) -> Judged:
    """Of policies that are asked about the same decision, with the same values, the same price and the same gate or none.

    Args:
        model: the snapshot that was decided with.
        offers: what there was to choose from.
        policies: what each has settled.
        taken: (slots,) the offers that were taken, by index.
        personal: the person's own part of the model, None for none.

    Raises:
        NotFiniteError: a prediction, a value or its deviation is not finite.
    """
    scores = score(model, offers.phi, policies[0].values, offers.prices, personal)
    deviations = _deviations(scores) if policies[0].is_gated else _NONE
    return Judged(
        [_probabilities(scores, deviations, offers, terms, taken) for terms in policies],
        scores.worth @ scores.chance[:, : len(scores.value)].astype(np.float64),
    )


def _deviations(scores: Scores) -> F64:
    return np.array([scores.deviation(offer) for offer in range(len(scores.value))])


def _probabilities(
    scores: Scores, deviations: F64, offers: Offers, terms: Terms, taken: npt.NDArray[np.int64]
) -> Probabilities:
    chosen_by = choice.of(terms.kind, scores, offers.phi, terms.exploration)
    pmf = np.empty((len(taken), len(offers.mask)))
    is_told = given_slate.slate_pmfs(
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
        max(terms.floor, chosen_by.floor),
        taken,
        pmf,
    )
    if not is_told:
        raise NotFiniteError("the deviation of a value is not finite")
    return Probabilities(pmf, _send(scores, deviations, chosen_by, offers, terms))


def _send(scores: Scores, deviations: F64, chosen_by: Choice, offers: Offers, terms: Terms) -> F64:
    """As draw gates one offer, for each of them."""
    send = np.ones(len(offers.mask))
    if not terms.is_gated:
        return send
    if not chosen_by.is_predicting:
        return send - terms.gate_floor
    value = scores.value + chosen_by.optimism * deviations
    is_nonnegative = not terms.can_be_negative and offers.prices is None
    arguments = (chosen_by.spread * deviations, terms.attention_price, terms.gate_floor, is_nonnegative)
    gate.gate_pmf(np.ones(len(send)), value, *arguments, send)
    return send
