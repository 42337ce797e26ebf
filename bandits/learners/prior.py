"""A prior where nothing is known of the features, and the check of one that was given."""

from typing import Final

import numpy as np

from bandits.learners.learner import F32, DamagedStateError
from bandits.prior import Prior
from schema.snapshot import Link

SD: Final[dict[Link, float]] = {"identity": 1.7, "logit": 4.0}
"""How far the score of a row of average size lies from 0 before learning; with the identity where the noise has an sd of a half."""

DISPERSION: Final[dict[Link, float]] = {"identity": 0.25, "logit": 1.0}
SMALLEST: Final = 1e-30


def weak_prior(phi: F32, link: Link = "logit") -> Prior:
    """All weights alike around 0.

    Args:
        phi: (n, d) rows of features; only their size is looked at, so that their unit does not matter.
        link: of the learner.
    """
    size = float(np.square(phi, dtype=np.float64).sum()) / len(phi)
    dims = phi.shape[1]
    precision = np.full(dims, max(size, SMALLEST) / SD[link] ** 2)
    return Prior(np.zeros(dims), precision, DISPERSION[link])


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
