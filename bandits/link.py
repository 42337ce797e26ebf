"""The link of a head: how the linear predictor eta becomes the mean of a reward. Arrays in, arrays out."""

import numpy as np
import numpy.typing as npt

from schema.snapshot import Link

F64 = npt.NDArray[np.float64]


def mean(link: Link, eta: F64) -> F64:
    """g(eta): the expected reward."""
    if link == "identity":
        return eta
    e = np.exp(-np.abs(eta))
    return np.where(eta >= 0.0, 1.0, e) / (1.0 + e)


def slope(link: Link, eta: F64) -> F64:
    """g'(eta): for the logit also the variance of a 0/1 reward."""
    if link == "identity":
        return np.ones_like(eta)
    p = mean(link, eta)
    return p * (1.0 - p)
