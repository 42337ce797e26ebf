"""Importance weights: how much likelier the target would have taken the logged action."""

import numpy as np

from bandits.evaluation.estimate import F64, Bounds
from bandits.evaluation.logged import Array, LoggedBandit


def weights(log: LoggedBandit, target: Array) -> F64:
    """target(action | context) / pscore, (n,); target is (n, n_actions), see `logged.checked_target`."""
    taken: F64 = target[np.arange(len(log.action)), log.action].astype(np.float64)
    return taken / log.pscore


def bounds(
    log: LoggedBandit,
    target: Array,
    weight_max: float | None = None,
    reward_range: tuple[float, float] | None = None,
) -> Bounds:
    """The known bounds, and for those not known what the log suggests.

    The largest weight is then the target's largest probability over the smallest pscore seen, which is right if that is the
    floor of the logging policy. Rewards are taken to lie between the least and the greatest seen, 0 included.

    Raises:
        ValueError: a weight or a reward of the log lies outside the bounds given.
    """
    low, high = min(0.0, float(log.reward.min())), max(0.0, float(log.reward.max()))
    if reward_range is not None:
        if log.reward.min() < reward_range[0] or log.reward.max() > reward_range[1]:
            raise ValueError(f"reward: {log.reward.min():g} to {log.reward.max():g} is outside {reward_range}")
        low, high = reward_range
    if weight_max is None:
        return Bounds(float(target.max()) / float(log.pscore.min()), low, high)
    largest = float(weights(log, target).max())
    if largest > weight_max:
        raise ValueError(f"pscore: a weight of {largest:g} is above the largest possible, {weight_max:g}")
    return Bounds(weight_max, low, high)
