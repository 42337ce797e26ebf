"""Doubly robust: the direct method, corrected by the weighted residuals of the logged actions.

Unbiased when the propensities are right, however wrong the regression; the better the regression, the less variance.
Dudík, Langford & Li (2011), Doubly robust policy evaluation and learning. The regression is cross-fitted: no row's
expectation has seen its own reward.
"""

from bandits.evaluation.estimate import F64, Bounds, Estimate, plain
from bandits.evaluation.regression import Expected


def doubly_robust(weight: F64, reward: F64, expected: Expected, bounds: Bounds) -> Estimate:
    """Of the weights and rewards, each (n,)."""
    return plain(
        expected.target + weight * (reward - expected.logged), (2.0 * bounds.weight_max + 1.0) * bounds.reward_span
    )
