"""A learner: one model of the rewards and one way to explore, under the promise of bandits.learners.learner."""

from typing import Protocol

import numpy as np

from bandits.kernels.draw import draw
from bandits.kernels.random import uniform
from bandits.learners.exploration import Belief, Exploration
from bandits.learners.learner import F32, F64, Choice, Mask, NotARoundError, check_round, check_row
from bandits.learners.rows import Arrays


class Model(Protocol):
    """What a policy believes, and how it takes in rows; row_model.RowModel, or fixed.NoModel."""

    dims: int
    reward_range: tuple[float, float]

    def belief(self) -> Belief:
        """What rounds are decided with."""
        ...

    def learn(self, phi_row: F32, reward: float) -> None:
        """A finished row, at once."""
        ...

    def show(self, phi_row: F32, at_s: float) -> int:
        """A row without an answer yet; its number."""
        ...

    def answer(self, row: int, reward: float) -> None:
        """The reward of a row that was shown."""
        ...

    def refresh(self, now_s: float) -> None:
        """The posterior of all rows and answers so far."""
        ...

    def state(self) -> Arrays:
        """All that `resume` needs beside what the model was built with."""
        ...

    def resume(self, state: Arrays) -> None:
        """Takes up a state; DamagedStateError, ValueError or KeyError where it is none."""
        ...


class Policy:
    """Decides by `exploration` of what `model` believes. Rewards alone teach the model; propensities are checked."""

    def __init__(self, model: Model, exploration: Exploration) -> None:
        self.model, self.exploration = model, exploration

    def score(self, phi: F32, mask: Mask) -> F64:
        check_round(phi, mask, self.model.dims)
        if not mask.any():
            return np.zeros(len(mask))
        return self.exploration.pmf(self.model.belief(), phi, mask)

    def predict(self, phi: F32, mask: Mask, key: int) -> Choice:
        pmf = self.score(phi, mask)
        arm = draw(pmf, uniform(key, 0))
        return Choice(arm, float(pmf[arm]) if arm >= 0 else 0.0)

    def learn(self, phi_row: F32, reward: float, propensity: float) -> None:
        check_row(phi_row, propensity, self.model.dims)
        self._check_reward(reward)
        self.model.learn(phi_row, reward)

    def show(self, phi_row: F32, propensity: float, at_s: float) -> int:
        check_row(phi_row, propensity, self.model.dims)
        if not np.isfinite(at_s):
            raise NotARoundError("an instant is not finite")
        return self.model.show(phi_row, at_s)

    def answer(self, row: int, reward: float) -> None:
        self._check_reward(reward)
        self.model.answer(row, reward)

    def refresh(self, now_s: float) -> None:
        self.model.refresh(now_s)

    def _check_reward(self, reward: float) -> None:
        low, high = self.model.reward_range
        if not (low <= reward <= high and np.isfinite(reward)):
            raise NotARoundError(f"a reward of {reward} is not one in [{low}, {high}]")
