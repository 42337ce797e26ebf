"""A push drawn for the margin it adds: Thompson by pmf over gains, and a gate that asks whether the gain is worth the attention."""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.incremental import Known, Own, Worth, gain
from bandits.kernels import gate, random
from bandits.kernels.draw import draw
from bandits.kernels.pmf import argmax_pmf
from bandits.policies.draw import GATE_DRAW
from bandits.policies.scores import NotFiniteError

EXPLORES_FULLY: Final = 60.0
"""Pushes for which Thompson's scale is 1; then it falls with the root of their number, to that of the policy in force. Who never sends to
people who seem not worth it never learns whom a push moves, and before any push nobody is known to be worth it."""

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


def exploration(pushes: float, least: float) -> float:
    """Thompson's scale once so many pushes have been learned from; `least` is that of the policy in force."""
    return max(least, min(1.0, math.sqrt(EXPLORES_FULLY / max(pushes, 1.0))))


def draw_gain(
    known: Known,
    own: Own,
    phi: F32,
    worth: Worth,
    mask: npt.NDArray[np.bool_],
    terms: GainTerms,
    key: int,
    prices: F64 | None = None,
) -> GainDraw:
    """Draws one offer and the gate.

    Deviations are plain ones, by the delta method. Most offers add nothing for most people, and that is known well: relative to the best
    offer each of them would carry its uncertainty, and together they would be drawn in its place (redemptions are another matter: there
    all offers share what is not known of the person, bandits.policies.draw).

    Args:
        known: what is known of everybody.
        own: of this person, (offers,) or (1,).
        phi: (offers, d).
        worth: what each offer gives and takes.
        mask: (offers,) eligible offers; at least one.
        terms: what the operator has set.
        key: 64 bits made of the decision's id.
        prices: (offers,) shadow prices of budgets, in the unit of the worth; None for none.

    Raises:
        NotFiniteError: a gain or a deviation is not finite.
    """
    gains = gain(known, own, phi, worth, terms.exploration)
    if prices is not None:
        gains = gains._replace(value=gains.value - prices)
    if not (np.isfinite(gains.value).all() and np.isfinite(gains.deviation).all()):
        raise NotFiniteError("a gain or its deviation is not finite")
    pmf = np.empty(len(phi))
    argmax_pmf(gains.value, gains.deviation, mask, terms.floor, pmf)
    chosen = int(draw(pmf, random.uniform(key, 0)))
    value, deviation = float(gains.value[chosen]), float(gains.deviation[chosen])
    sends = gate.send_probability(value, deviation, terms.attention_price, terms.gate_floor, False)
    return GainDraw(chosen, pmf, value, sends, bool(random.uniform(key, GATE_DRAW) < sends))
