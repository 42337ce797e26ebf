"""Inverse propensity scoring: mean of w r. Unbiased where the logging policy could take what the target takes.

Horvitz & Thompson (1952), A generalization of sampling without replacement from a finite universe.
"""

from bandits.evaluation.estimate import F64, Bounds, Estimate, plain


def ips(weight: F64, reward: F64, bounds: Bounds) -> Estimate:
    """Of the weights and rewards, each (n,)."""
    return plain(weight * reward, bounds.weight_max * (max(bounds.reward_high, 0.0) - min(bounds.reward_low, 0.0)))
