"""A push drawn for the margin it adds: Thompson by pmf over gains, and a gate that asks whether the gain is worth the attention."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.incremental import Effect, Worth, factor, gain
from bandits.kernels import gate, random
from bandits.kernels.draw import draw
from bandits.kernels.pmf import argmax_pmf
from bandits.policies.scores import NotFiniteError

GATE_DRAW: Final = random.FIRST_FREE_INDEX
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class GainTerms(NamedTuple):
    """What the operator has set; attention_price in the unit of the worth, that of this person now."""

    floor: float
    exploration: float
    gate_floor: float
    attention_price: float


class GainDraw(NamedTuple):
    """The offer drawn, the pmf (offers,) it was drawn from, its gain, the probability of sending it and whether it is sent."""

    chosen: int
    pmf: F64
    value: float
    send_probability: float
    is_sent: bool


def draw_gain(
    effect: Effect, person: int, phi: F32, worth: Worth, mask: npt.NDArray[np.bool_], terms: GainTerms, key: int
) -> GainDraw:
    """Draws one offer and the gate.

    Deviations are plain ones, by the delta method. Most offers add nothing for most people, and that is known well: relative to the best
    offer each of them would carry its uncertainty, and together they would be drawn in its place (redemptions are another matter: there
    all offers share what is not known of the person, bandits.policies.draw).

    Args:
        effect: the posterior.
        person: index among those the posterior knows.
        phi: (offers, d).
        worth: what each offer gives and takes.
        mask: (offers,) eligible offers; at least one.
        terms: what the operator has set.
        key: 64 bits made of the decision's id.

    Raises:
        NotFiniteError: a gain or a deviation is not finite.
    """
    gains = gain(effect, person, phi, worth)
    whitened = terms.exploration * (gains.gradient @ factor(effect, person))
    deviation = np.sqrt(np.square(whitened).sum(axis=1))
    if not (np.isfinite(gains.value).all() and np.isfinite(deviation).all()):
        raise NotFiniteError("a gain or its deviation is not finite")
    pmf = np.empty(len(phi))
    argmax_pmf(gains.value, deviation, mask, terms.floor, pmf)
    chosen = int(draw(pmf, random.uniform(key, 0)))
    value = float(gains.value[chosen])
    sends = gate.send_probability(value, float(deviation[chosen]), terms.attention_price, terms.gate_floor, False)
    return GainDraw(chosen, pmf, value, sends, bool(random.uniform(key, GATE_DRAW) < sends))
