"""The rule by which clipped IPS and switch-DR choose their limit of the weight.

Of LIMITS quantiles of the weights, the largest weight among them, the one with the least estimated mean squared error: variance of
the mean plus the square of the mean of what the limit takes away (Wang, Agarwal & Dudík 2017, section 4.2, with the bias
estimated instead of bounded). Ties go to the higher limit, which takes less away.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from bandits.evaluation.estimate import F64

LIMITS: Final = 32
LOWEST_QUANTILE: Final = 0.5


def choose(weight: F64, limited: Callable[[float], F64], whole: F64) -> float:
    """The limit; limited(limit) and whole are the contributions (n,) with it and without."""
    quantiles = 1.0 - np.geomspace(1.0 - LOWEST_QUANTILE, 1.0 / (len(weight) + 1), LIMITS - 1)
    candidates = np.unique(np.append(np.quantile(weight, quantiles), weight.max()))
    best, least = float(weight.max()), np.inf
    for limit in candidates[::-1]:
        kept = limited(float(limit))
        error = float(kept.var(ddof=1)) / len(kept) + float(np.mean(whole - kept)) ** 2
        if error < least:
            best, least = float(limit), error
    return best
