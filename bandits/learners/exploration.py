"""How a posterior becomes a pmf: Thompson sampling, the upper confidence bound, epsilon-greedy."""

from typing import NamedTuple, Protocol

import numpy as np

from bandits.kernels.pmf import argmax_pmf
from bandits.learners.learner import F32, F64, Mask, spread

BEST_SD_SHARE = 1e-3
"""The sd of the best arm's score, relative to itself 0, as a share of the largest: the pmf's grid wants no certain score."""


class Belief(Protocol):
    """A Gaussian over the weights, asked about rows phi (arms, d)."""

    def mean_of(self, phi: F32) -> F64:
        """Means of the scores, (arms,)."""
        ...

    def sd_of(self, phi: F32) -> F64:
        """Standard deviations of the scores, (arms,)."""
        ...


class Exploration(Protocol):
    """One way to trade what is known for what may be learned."""

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:
        """The pmf over the arms, (arms,) float64; at least one is eligible."""
        ...


class Thompson(NamedTuple):
    """Draws an arm as often as it is the best under the posterior, its sd scaled and taken relative to the best arm.

    The sd of arm k is that of phi_k - phi_best: what all arms have in common cannot make one of them better, so it is not
    explored. Pairwise against the best this is joint Thompson; between the others the marginals are independent.
    """

    scale: float
    floor: float

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:
        mean = belief.mean_of(phi)
        best = best_of(mean, mask)
        sd = self.scale * belief.sd_of(phi - phi[best])
        sd[best] = BEST_SD_SHARE * sd[mask].max()
        out = np.empty(len(phi))
        argmax_pmf(mean, sd, mask, self.floor, out)
        return out


class UpperBound(NamedTuple):
    """The arm with the highest mean + width * sd (Li, Chu, Langford, Schapire, WWW 2010), ties sharing, and a floor."""

    width: float
    floor: float

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:
        return greedy(belief.mean_of(phi) + self.width * belief.sd_of(phi), mask, self.floor)


class EpsilonGreedy(NamedTuple):
    """The arm with the highest mean, ties sharing, and epsilon spread over all."""

    epsilon: float

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:
        return greedy(belief.mean_of(phi), mask, self.epsilon)


def best_of(score: F64, mask: Mask) -> int:
    """The eligible arm of the highest score, the first of equals."""
    return int(np.argmax(np.where(mask, score, -np.inf)))


def greedy(score: F64, mask: Mask, floor: float) -> F64:
    top = mask & (score == score[best_of(score, mask)])
    return spread(mask, top / top.sum(), floor)
