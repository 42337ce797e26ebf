"""How a posterior becomes a pmf: Thompson sampling, the upper confidence bound, epsilon-greedy."""

from typing import NamedTuple, Protocol

import numpy as np

from bandits.kernels.decide import scores, thompson_pmf
from bandits.learners.learner import F32, F64, Mask, spread


class Belief(NamedTuple):
    """A Gaussian over the weights: packed for scoring (bandits.kernels.packed), its deviations to be told `spread` times larger."""

    packed: F32
    spread: float


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
        """The chance of each arm to be the best, (arms,), mixed with the floor; phi (arms, d), mask (arms,)."""
        out = np.empty(len(phi))
        thompson_pmf(np.ascontiguousarray(phi), mask, belief.packed, self.scale * belief.spread, self.floor, out)
        return out


class UpperBound(NamedTuple):
    """The arm with the highest mean + width * sd (Li, Chu, Langford, Schapire, WWW 2010), ties sharing, and a floor."""

    width: float
    floor: float

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:
        mean, sd = _scores(belief, phi)
        return greedy(mean + self.width * sd, mask, self.floor)


class EpsilonGreedy(NamedTuple):
    """The arm with the highest mean, ties sharing, and epsilon spread over all."""

    epsilon: float

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:
        return greedy(_scores(belief, phi)[0], mask, self.epsilon)


def _scores(belief: Belief, phi: F32) -> tuple[F64, F64]:
    mean, sd = np.empty(len(phi), np.float32), np.empty(len(phi), np.float32)
    scores(np.ascontiguousarray(phi), belief.packed, mean, sd)
    return mean.astype(np.float64), belief.spread * sd.astype(np.float64)


def greedy(score: F64, mask: Mask, floor: float) -> F64:
    """All but the floor to the eligible arm of the highest score, ties sharing: (arms,), at least one eligible."""
    top = mask & (score == score[mask].max())
    return spread(mask, top / top.sum(), floor)
