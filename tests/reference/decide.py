"""Thompson's pmf relative to the best arm once more: float64, a fine grid in sinh, from what is written in the docstrings."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

F64 = NDArray[np.float64]
POINTS = 4_001


def relative_pmf(gap: F64, sd: F64) -> tuple[float, F64]:
    """Probability that the certain arm at 0 is the best, and those of N(-gap, sd^2), independent; all sd > 0."""
    reach = float((9 * sd - gap).max())
    if reach <= 0:
        return 1.0, np.zeros(len(gap))
    unit = 0.5 * float(sd.min())
    x = np.linspace(0, math.asinh(reach / unit), POINTS)
    t, step = unit * np.sinh(x), unit * np.cosh(x)
    z = (t[:, None] + gap) / sd
    below = ndtr(z)
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) / sd
    p = np.trapezoid(density / below * (below.prod(1) * step)[:, None], x, axis=0)
    return float(ndtr(gap / sd).prod()), p


def thompson_pmf(phi: F64, mean: F64, covariance: F64, mask: NDArray[np.bool_], scale: float, floor: float) -> F64:
    score = phi @ mean
    best = int(np.where(mask, score, -np.inf).argmax())
    away = phi - phi[best]
    sd = scale * np.sqrt(np.einsum("ki,ij,kj->k", away, covariance, away))
    others = mask & (np.arange(len(phi)) != best)
    out = np.zeros(len(phi))
    out[best] = 1.0
    if others.any():
        out[best], out[others] = relative_pmf(score[best] - score[others], sd[others])
    return np.where(mask, (1 - floor) * out + floor / mask.sum(), 0.0)
