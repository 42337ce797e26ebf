"""contextualbandits: linear models an arm; all rows go to one arm, whose score of each row ranks the offers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from contextualbandits.online import LinTS, LinUCB

from scripts.peers.peer import F32, Maker


class ContextualBandits:
    """A shared model through the first of two arms; the second never learns."""

    def __init__(self, model: Any, dims: int) -> None:
        self.model = model
        self.model.partial_fit(np.zeros((1, dims)), np.zeros(1, np.int64), np.zeros(1))

    def decide(self, phi: F32) -> int:
        return int(np.argmax(self.model.decision_function(phi.astype(np.float64))[:, 0]))

    def learn(self, row: F32, reward: float) -> None:
        self.model.partial_fit(row[None].astype(np.float64), np.zeros(1, np.int64), np.array([reward]))


BEST = "LinUCB alpha 0.4, ridge 30"


def settings() -> Iterator[tuple[str, Maker]]:
    """What was tried."""
    for alpha in (1.0, 0.3, 0.1, 0.03):
        yield f"LinUCB alpha {alpha}", _ucb(alpha, 1.0)
    for alpha in (0.1, 0.2, 0.4, 1.0):
        for ridge in (10, 30, 100):
            yield f"LinUCB alpha {alpha}, ridge {ridge}", _ucb(alpha, ridge)
    for variance in (0.1, 0.01, 0.001):
        yield f"LinTS from intervals, variance {variance}", _ts(variance)


def _ucb(alpha: float, ridge: float) -> Maker:
    def make(seed: int, _: int, dims: int) -> ContextualBandits:
        model = LinUCB(2, alpha=alpha, lambda_=ridge, fit_intercept=False, random_state=seed + 1)
        return ContextualBandits(model, dims)

    return make


def _ts(variance: float) -> Maker:
    # With the default sample_from="coef" its choices are uniform (0.3.30).
    def make(seed: int, _: int, dims: int) -> ContextualBandits:
        model = LinTS(2, v_sq=variance, fit_intercept=False, sample_from="ci", method="sm", random_state=seed + 1)
        return ContextualBandits(model, dims)

    return make
