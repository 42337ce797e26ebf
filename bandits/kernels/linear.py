"""Scores of the shared linear model: mean phi.m and variance phi' S phi of every candidate.

A row's result depends on that row alone, so one user and a batch of users are scored to the same bits. BLAS would be
no quicker at this size and promises no such thing.
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
def _times_matrix(x: F32, S: F32, y: F32) -> None:
    """Write x S into y, eight rows of S at a time, so that y is read and written an eighth as often."""
    d = x.shape[0]
    whole = d - d % 8
    for j in range(d):
        y[j] = np.float32(0.0)
    for i in range(0, whole, 8):
        a, b, c, e = x[i], x[i + 1], x[i + 2], x[i + 3]
        f, g, h, r = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        for j in range(d):
            y[j] += (
                (a * S[i, j] + b * S[i + 1, j])
                + (c * S[i + 2, j] + e * S[i + 3, j])
                + (f * S[i + 4, j] + g * S[i + 5, j])
                + (h * S[i + 6, j] + r * S[i + 7, j])
            )
    for i in range(whole, d):
        for j in range(d):
            y[j] += x[i] * S[i, j]


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
    y = np.empty(m.shape[0], np.float32)
    for k in range(phi.shape[0]):
        x = phi[k]
        _times_matrix(x, S, y)
        mean[k] = _dot(x, m)
        variance[k] = max(_dot(x, y), np.float32(0.0))
