"""The personal layer and the taste map once more, slow and obvious: every sum is over the rows themselves, every table by counting."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandits.personal import HALF_LIFE_S

F64 = NDArray[np.float64]


class PersonalFact(NamedTuple):
    """One slot that was shown, redeemed or not; `said` are (instant, yes or no, weight) of what the person said of it."""

    at_s: int
    z: tuple[float, ...]
    eta: float
    offset: float
    is_redeemed: bool
    said: tuple[tuple[int, float, float], ...] = ()


def posterior(facts: Sequence[PersonalFact], variances: F64, now_s: float) -> tuple[F64, F64]:
    """Mean and covariance of tau: each row by its quadratic bound from where it was logged, rows fading from their instant."""
    precision, information = np.diag(1.0 / variances), np.zeros(len(variances))
    for fact in facts:
        z = np.array(fact.z)
        shown = (fact.eta, fact.at_s, float(fact.is_redeemed), 1.0)
        for eta, at_s, outcome, weight in [shown, *((fact.offset, *word) for word in fact.said)]:
            chance = 1.0 / (1.0 + np.exp(-eta))
            curvature = np.tanh(eta / 2.0) / (2.0 * eta) if abs(eta) > 1e-9 else 0.25
            faded = weight * 0.5 ** ((now_s - at_s) / HALF_LIFE_S)
            precision += faded * curvature * np.outer(z, z)
            information += faded * ((outcome - chance) * z + curvature * fact.offset * z)
    return np.linalg.solve(precision, information), np.linalg.inv(precision)


def log_evidence(outer: Sequence[F64], response: Sequence[F64], variances: F64) -> float:
    """Sum over people of ln of the integral of exp(b' tau - tau' A tau / 2) N(tau; 0, V), by the formula of Gaussian integrals."""
    total = 0.0
    for A, b in zip(outer, response, strict=True):
        V = np.diag(variances)
        total += -0.5 * np.linalg.slogdet(np.eye(len(V)) + V @ A)[1]
        total += 0.5 * b @ np.linalg.solve(A + np.linalg.inv(V), b)
    return total


def goes_with(
    tags: Sequence[int], recency: Mapping[int, float], companions: Mapping[int, Mapping[int, float]]
) -> float:
    """companions are the logs of the lifts by tag and companion."""
    pulls = [max((lift * recency.get(b, 0.0) for b, lift in companions.get(a, {}).items()), default=0.0) for a in tags]
    strength = (1.0 - max(recency.get(tag, 0.0) for tag in tags)) * sum(pulls) / len(tags)
    return strength / (1.0 + strength)


def lifts(baskets: Sequence[frozenset[int]], tags: Sequence[int], pseudo: float) -> dict[tuple[int, int], float]:
    """How much likelier each pair of different tags is in one basket than pairs are in general, given how common both are."""
    alone = {tag: sum(tag in basket for basket in baskets) for tag in tags}
    pairs = [(a, b) for a in tags for b in tags if a != b]
    together = {(a, b): sum(a in basket and b in basket for basket in baskets) for a, b in pairs}
    scale = sum(together.values()) / max(sum(alone[a] * alone[b] for a, b in pairs), 1)
    return {pair: (together[pair] + pseudo) / (scale * alone[pair[0]] * alone[pair[1]] + pseudo) for pair in pairs}
