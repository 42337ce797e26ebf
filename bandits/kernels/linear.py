"""Scores of the shared linear model: mean phi.m and variance phi' S phi of every candidate.

A row's result depends on that row alone, so one user and a batch of users are scored to the same bits. BLAS promises no
such thing, and inside Numba it would need SciPy at run time.
"""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f32_in, f32_in_2d, f32_out, kernel, void

F32 = NDArray[np.float32]


@kernel(lanes=True)
def _dot(x: F32, y: F32) -> np.float32:
    total = np.float32(0.0)
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total


@kernel(lanes=True)
def _eight_rows(x: F32, S: F32, i: int) -> np.float32:
    """Rows i to i + 7 of the quadratic form; one pass over x for eight rows, and nothing is stored on the way."""
    a, b, c, e = x[i], x[i + 1], x[i + 2], x[i + 3]
    f, g, h, r = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
    total = np.float32(0.0)
    for j in range(x.shape[0]):
        total += x[j] * (
            (a * S[i, j] + b * S[i + 1, j])
            + (c * S[i + 2, j] + e * S[i + 3, j])
            + (f * S[i + 4, j] + g * S[i + 5, j])
            + (h * S[i + 6, j] + r * S[i + 7, j])
        )
    return total


@kernel()
def _quadratic_form(x: F32, S: F32) -> np.float32:
    d = x.shape[0]
    whole = d - d % 8
    total = np.float32(0.0)
    for i in range(0, whole, 8):
        total += _eight_rows(x, S, i)
    for i in range(whole, d):
        total += x[i] * _dot(x, S[i])
    return total


@kernel(void(f32_in_2d, f32_in, f32_in_2d, f32_out, f32_out))
def linear_scores(phi: F32, m: F32, S: F32, mean: F32, variance: F32) -> None:
    """Write the mean and the variance of each candidate's score.

    Args:
        phi: (arms, d) features.
        m: (d,) posterior mean.
        S: (d, d) posterior covariance, symmetric and full.
        mean: (arms,) out.
        variance: (arms,) out; rounding below 0 is cut to 0.
    """
    for k in range(phi.shape[0]):
        mean[k] = _dot(phi[k], m)
        variance[k] = max(_quadratic_form(phi[k], S), np.float32(0.0))


@kernel(void(f32_in_2d, f32_in, f32_out))
def linear_means(phi: F32, m: F32, mean: F32) -> None:
    """Write the mean of each candidate's score alone; arguments as in `linear_scores`."""
    for k in range(phi.shape[0]):
        mean[k] = _dot(phi[k], m)
