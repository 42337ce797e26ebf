"""The policies: by which level each chooses among the offers, and how much of what is not known it draws by."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import features
from bandits.policies.scores import Scores
from schema.policy import PolicyKind

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class Choice(NamedTuple):
    """How a policy chooses: the offer of the highest N(level + optimism s, (spread s)^2), s the deviations relative to the best.

    level is (offers,); floor the share that this policy spreads evenly by itself. One that does not predict (is_predicting False)
    cannot weigh an offer against a price, and sends as often as the gate's floor allows.
    """

    level: F64
    spread: float = 0.0
    optimism: float = 0.0
    floor: float = 0.0
    is_predicting: bool = True


def of(kind: PolicyKind, scores: Scores, phi: F32, exploration: float) -> Choice:
    """The choice of a policy, all computed from one posterior.

    - thompson: an offer is drawn as often as it is the best under the posterior (independent marginals).
    - ucb: the offer that is best if every other had the luck of `exploration` deviations.
    - epsilon_greedy: the offer of the highest value, but for a share `exploration` spread evenly.
    - uniform: every eligible offer alike; the control.
    - rules_only: what most people buy, whoever is asking and whatever was learned of offers.
    - usual: what this person is likeliest to buy anyway, by their own habits.
    """
    if kind == "thompson":
        return Choice(scores.value, spread=exploration)
    if kind == "ucb":
        return Choice(scores.value, optimism=exploration)
    if kind == "epsilon_greedy":
        return Choice(scores.value, floor=exploration)
    return Choice(_level(kind, phi), is_predicting=False)


def _level(kind: PolicyKind, phi: F32) -> F64:
    if kind == "uniform":
        return np.zeros(len(phi))
    column = features.NAMES.index("lpop" if kind == "rules_only" else "lp")
    return phi[:, column].astype(np.float64)
