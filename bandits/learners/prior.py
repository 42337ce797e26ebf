"""A prior where nothing is known of the features, and the check of one that was given."""

from typing import Final

import numpy as np

from bandits.learners.learner import F32, DamagedStateError
from bandits.prior import Prior

SD: Final = 4.0
SMALLEST: Final = 1e-30


def weak_prior(phi: F32, sd: float = SD) -> Prior:
    """All weights alike around 0, so that before learning the score of a row of average size is `sd` away from 0.

    Args:
        phi: (n, d) rows of features; only their size is looked at, so that their unit does not matter.
        sd: in logits for a logistic learner.
    """
    size = float(np.square(phi, dtype=np.float64).sum()) / len(phi)
    dims = phi.shape[1]
    return Prior(np.zeros(dims), np.full(dims, max(size, SMALLEST) / sd**2))


def check_prior(prior: Prior) -> None:
    """Refuses a prior that is not one.

    Raises:
        DamagedStateError: shapes differ, a number is not finite or a precision is not positive.
    """
    shapes = prior.mean.ndim == 1 and prior.mean.shape == prior.precision.shape
    if not (shapes and np.isfinite(prior.mean).all() and np.isfinite(prior.precision).all()):
        raise DamagedStateError("a prior is a finite mean (d,) and a finite precision (d,)")
    if not ((prior.precision > 0.0).all() and prior.dispersion > 0.0):
        raise DamagedStateError("a precision or the dispersion of the prior is not positive")
