"""The shared model's arithmetic over rows once more, in plain NumPy and SciPy: whole matrices, no streaming, no packing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

F64 = NDArray[np.float64]


def mean_and_slope(link: str, eta: F64) -> tuple[F64, F64]:
    if link == "identity":
        return eta, np.ones_like(eta)
    return expit(eta), expit(eta) * expit(-eta)


def cumulant(link: str, eta: F64) -> F64:
    return 0.5 * eta**2 if link == "identity" else np.logaddexp(0.0, eta)


def linearised(link: str, phi: Any, offset: Any, weight: F64, mode: F64) -> tuple[F64, F64]:
    """H (d, d) and E (d,) of all rows."""
    phi = phi.astype(float)
    mean, slope = mean_and_slope(link, phi @ mode + offset.astype(float))
    return phi.T @ (phi * (weight * slope)[:, None]), phi.T @ (weight * (mean - slope * (phi @ mode)))


def newton(link: str, phi: Any, offset: Any, weight: F64, maturity: F64, reward: F64, w: F64) -> tuple[float, F64, F64]:
    """Objective, gradient (d,) and Hessian (d, d) without a prior."""
    phi = phi.astype(float)
    eta = phi @ w + offset.astype(float)
    mean, slope = mean_and_slope(link, eta)
    objective = float(weight @ (maturity * cumulant(link, eta) - reward * eta))
    return (
        objective,
        phi.T @ (weight * (maturity * mean - reward)),
        phi.T @ (phi * (weight * maturity * slope)[:, None]),
    )
