"""Switch-DR: doubly robust where the weight is at most a limit, the direct method above it.

Wang, Agarwal & Dudík (2017), Optimal and adaptive off-policy evaluation in contextual bandits; the limit by the rule of
`weight_limit`.
"""

import numpy as np

from bandits.evaluation import weight_limit
from bandits.evaluation.estimate import F64, Bounds, Estimate, plain
from bandits.evaluation.regression import Expected


def switch_dr(
    weight: F64, reward: F64, expected: Expected, bounds: Bounds, limit: float | None = None
) -> tuple[Estimate, float]:
    """The estimate and the limit used; weight and reward are (n,)."""
    correction = weight * (reward - expected.logged)

    def switched(at: float) -> F64:
        return expected.target + np.where(weight <= at, correction, 0.0)

    if limit is None:
        limit = weight_limit.choose(weight, switched, expected.target + correction)
    return plain(switched(limit), (2.0 * min(limit, bounds.weight_max) + 1.0) * bounds.reward_span), limit
