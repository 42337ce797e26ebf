"""Self-normalised inverse propensity scoring: sum of w r / sum of w.

Never outside the rewards seen, and moves along when all rewards are shifted; a bias of order 1/n.
Swaminathan & Joachims (2015), The self-normalized estimator for counterfactual learning.
"""

from bandits.evaluation.estimate import F64, Bounds, Estimate


def snips(weight: F64, reward: F64, bounds: Bounds) -> Estimate:
    """Of the weights and rewards, each (n,)."""
    return Estimate(weight * reward, weight, bounds.weight_max * bounds.reward_span)
