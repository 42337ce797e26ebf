"""MABWiser: linear models an arm; all rows go to one arm, whose score of each row ranks the offers."""

from collections.abc import Iterator

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

from scripts.peers.peer import F32, Maker


class MabWiser:
    """A shared model through a single arm: given its own arm for each offer it would never see what one tells of another."""

    def __init__(self, policy: object, seed: int, dims: int) -> None:
        self.mab = MAB([0], policy, seed=seed)
        self.mab.fit([0], [0.0], np.zeros((1, dims)))

    def decide(self, phi: F32) -> int:
        expectations = self.mab.predict_expectations(phi.astype(np.float64))
        return max(range(len(phi)), key=lambda k: expectations[k][0])

    def learn(self, row: F32, reward: float) -> None:
        self.mab.partial_fit([0], [reward], row[None].astype(np.float64))


BEST = "LinUCB alpha 0.4, ridge 30"


def settings() -> Iterator[tuple[str, Maker]]:
    """What was tried."""
    for alpha in (1.0, 0.3, 0.1, 0.03):
        yield f"LinUCB alpha {alpha}", _maker(LearningPolicy.LinUCB(alpha=alpha))
    for alpha in (0.1, 0.2, 0.4, 1.0):
        for ridge in (10, 30, 100):
            yield f"LinUCB alpha {alpha}, ridge {ridge}", _maker(LearningPolicy.LinUCB(alpha=alpha, l2_lambda=ridge))
    for alpha in (0.3, 0.1, 0.03):
        yield f"LinTS alpha {alpha}", _maker(LearningPolicy.LinTS(alpha=alpha))
    yield "LinGreedy 0.01", _maker(LearningPolicy.LinGreedy(epsilon=0.01))


def _maker(policy: object) -> Maker:
    return lambda seed, _, dims: MabWiser(policy, seed, dims)
