"""Clipped inverse propensity scoring: mean of min(w, limit) r. Less variance for a bias towards zero.

Ionides (2008), Truncated importance sampling; the limit by the rule of `weight_limit`.
"""

import numpy as np

from bandits.evaluation import weight_limit
from bandits.evaluation.estimate import F64, Bounds, Estimate, plain


def clipped_ips(weight: F64, reward: F64, bounds: Bounds, limit: float | None = None) -> tuple[Estimate, float]:
    """The estimate and the limit used; weight and reward are (n,)."""

    def clipped(at: float) -> F64:
        return np.minimum(weight, at) * reward

    if limit is None:
        limit = weight_limit.choose(weight, clipped, weight * reward)
    largest = min(limit, bounds.weight_max)
    span = largest * (max(bounds.reward_high, 0.0) - min(bounds.reward_low, 0.0))
    return plain(clipped(limit), span), limit
