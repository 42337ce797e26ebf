"""Values, their deviations relative to the best offer, and slates once more, slow and obvious, in float64."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.reference import kernels as reference
from tests.reference.pmf import argmax_pmf

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


def sigmoid(eta: F64) -> F64:
    return np.exp(-np.logaddexp(0, -eta))


def secant(a: float, b: float) -> float:
    if a == b:
        return float(sigmoid(np.array(a)) * sigmoid(np.array(-a)))
    return float((sigmoid(np.array(a)) - sigmoid(np.array(b))) / (a - b))


def relative_deviations(phi: F64, covariances: Sequence[F64], eta: F64, worth: F64, is_logit: bool, best: int) -> F64:
    """(offers,); phi (offers, d), eta (heads, offers)."""
    s = np.zeros(len(phi))
    for k in range(len(phi)):
        away = phi[k] - phi[best]
        for h, covariance in enumerate(covariances):
            slope = secant(eta[h, k], eta[h, best]) if is_logit else 1.0
            s[k] += (worth[h] * slope) ** 2 * (away @ covariance @ away)
    return np.sqrt(s)


def open_to_slot(tags: Sequence[frozenset[int]], eligible: Mask, left: Mask, chosen: Sequence[int], most: int) -> Mask:
    """The offers a slot may take: those whose kinds have room, else those whose kinds are the least crowded."""
    if most == 0 or not left.any():
        return left
    everything = frozenset().union(*tags)
    kinds = {
        tag
        for tag in everything
        if 2 * sum(tag in tags[k] for k in np.flatnonzero(eligible)) <= np.count_nonzero(eligible)
    }
    crowding = np.array(
        [
            max((sum(tag in tags[other] for other in chosen) for tag in tags[k] & kinds), default=0)
            for k in range(len(tags))
        ]
    )
    return left & (crowding <= max(crowding[left].min(), most - 1))


def slate(pmfs: Sequence[F64], key: int) -> list[int]:
    """What is drawn from the pmf of each slot."""
    return [reference.draw(pmf, reference.uniform(key, slot)) for slot, pmf in enumerate(pmfs)]


def pmf_of_slot(value: F64, s: F64, spread: float, optimism: float, open_to: Mask, floor: float) -> F64:
    return argmax_pmf(value + optimism * s, spread * s, open_to, floor)
