"""Whether counts are those of a distribution."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

F64 = NDArray[np.float64]


def fits(counts: F64, p: F64) -> bool:
    """Chi-square over the outcomes expected at least five times, the others together; what is impossible must not have happened."""
    frequent = p * counts.sum() >= 5
    observed = np.append(counts[frequent], counts[~frequent].sum())
    wanted = np.append(p[frequent], p[~frequent].sum()) * counts.sum()
    if wanted[-1] < 5:
        observed, wanted = observed[:-1], wanted[:-1]
    is_likely = stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3
    return bool(is_likely and not counts[p == 0].any())
