"""Policies that learn nothing: what a learner has to beat."""

from typing import NamedTuple

import numpy as np

from bandits.learners.exploration import Belief, greedy
from bandits.learners.learner import F32, F64, Mask, spread
from bandits.learners.rows import Arrays, refuse_row


class Uniform(NamedTuple):
    """Every eligible arm alike."""

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:  # noqa: ARG002 - one face for all
        return spread(mask, np.zeros(len(mask)), 1.0)


class Usual(NamedTuple):
    """The arm that is highest in one column, a person's habit or a popularity, ties sharing, and a floor."""

    column: int
    floor: float

    def pmf(self, belief: Belief, phi: F32, mask: Mask) -> F64:  # noqa: ARG002 - one face for all
        return greedy(phi[:, self.column].astype(np.float64), mask, self.floor)


class NoModel:
    """Takes rows and forgets them; it is asked nothing by the policies of this file."""

    def __init__(self, dims: int) -> None:
        self.dims = dims
        self.reward_range = (-np.inf, np.inf)
        self._count = 0

    def belief(self) -> Belief:
        return Belief(np.zeros(0, np.float32), 0.0)

    def learn(self, phi_row: F32, reward: float) -> None:  # noqa: ARG002 - one face for all
        self._count += 1

    def show(self, phi_row: F32, at_s: float) -> int:  # noqa: ARG002 - one face for all
        self._count += 1
        return self._count - 1

    def answer(self, row: int, reward: float) -> None:  # noqa: ARG002 - one face for all
        refuse_row(row, self._count)

    def refresh(self, now_s: float) -> None:
        """Nothing was kept."""

    def state(self) -> Arrays:
        return {"count": np.array([self._count])}

    def resume(self, state: Arrays) -> None:
        self._count = int(state["count"][0])
