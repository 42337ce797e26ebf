"""bayesianbandits: one learner shared by all offers (LipschitzContextualAgent), logistic or normal."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from bayesianbandits import (
    Arm,
    BayesianGLM,
    EpsilonGreedy,
    LipschitzContextualAgent,
    NormalRegressor,
    ThompsonSampling,
    UpperConfidenceBound,
)

from scripts.peers.peer import F32, Maker


class _RowsOfTheRound:
    """The context holds the rows of all arms one after another; each arm takes its own."""

    def __init__(self, dims: int) -> None:
        self._dims = dims

    def transform(self, X: npt.NDArray[np.float64], *, action_tokens: list[int]) -> npt.NDArray[np.float64]:  # noqa: N803 - the library's name
        return np.asarray(X).reshape(-1, self._dims)[action_tokens]


class BayesianBandits:
    """Pull, then update the arm pulled."""

    def __init__(self, learner: Any, policy: Any, seed: int, arms: int, dims: int) -> None:
        self.agent = LipschitzContextualAgent(
            arms=[Arm(k, learner=None) for k in range(arms)],
            policy=policy,
            arm_featurizer=_RowsOfTheRound(dims),
            learner=learner,
            random_seed=seed,
        )
        self._context = np.zeros((1, arms * dims))

    def decide(self, phi: F32) -> int:
        self._context = phi.reshape(1, -1).astype(np.float64)
        return int(self.agent.pull(self._context)[0])

    def learn(self, row: F32, reward: float) -> None:  # noqa: ARG002 - it takes the row out of the context itself
        self.agent.update(self._context, np.array([reward]))


BEST = "BayesianGLM logit alpha 1.0, Thompson"


def settings() -> Iterator[tuple[str, Maker]]:
    """What was tried."""
    for alpha in (1.0, 0.1, 10.0):
        yield f"BayesianGLM logit alpha {alpha}, Thompson", _glm(alpha, ThompsonSampling)
    yield "BayesianGLM logit alpha 1.0, greedy 0.01", _glm(1.0, lambda: EpsilonGreedy(epsilon=0.01))
    yield "BayesianGLM logit alpha 1.0, UCB 0.7", _glm(1.0, lambda: UpperConfidenceBound(alpha=0.7))
    for alpha, beta in ((1.0, 10.0), (1.0, 100.0), (1.0, 1.0)):
        yield f"Normal alpha {alpha} beta {beta}, Thompson", _normal(alpha, beta)


def _glm(alpha: float, policy: Callable[[], Any]) -> Maker:
    return lambda seed, arms, dims: BayesianBandits(BayesianGLM(alpha=alpha, link="logit"), policy(), seed, arms, dims)


def _normal(alpha: float, beta: float) -> Maker:
    return lambda seed, arms, dims: BayesianBandits(
        NormalRegressor(alpha=alpha, beta=beta), ThompsonSampling(), seed, arms, dims
    )
