"""Direct method: the mean of what a regression of the reward expects of the target.

No weights, so little variance, and all of the regression's bias: its interval knows nothing of that.
"""

from bandits.evaluation.estimate import Bounds, Estimate, plain
from bandits.evaluation.regression import Expected


def direct_method(expected: Expected, bounds: Bounds) -> Estimate:
    """The mean of expected.target."""
    return plain(expected.target, bounds.reward_span)
