"""One more row in a Gaussian over the weights: the Sherman-Morrison step."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f32_in, f32_out, f64, f64_out, f64_out_2d, kernel, void
from bandits.kernels.packed import pack_posterior

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@kernel(lanes=True)
def _dot(x: F64, y: F64) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total


@kernel(lanes=True)
def _add_scaled(x: F64, factor: float, out: F64) -> None:
    for i in range(x.shape[0]):
        out[i] += factor * x[i]


@kernel(void(f64_out, f64_out_2d, f32_in, f64, f64))
def absorb(mean: F64, covariance: F64, row: F32, weight: float, response: float) -> None:
    """N(mean, S) becomes the posterior after the precision weight * x x' and the information response * x were added.

    S - weight S x x' S / (1 + weight x' S x), and the mean moves by S x (response - weight x'm) / (1 + weight x' S x).

    Args:
        mean: (d,) in place.
        covariance: (d, d) symmetric, in place.
        row: (d,) x.
        weight: not negative.
        response: weight times the observed score, where that is a number.
    """
    d = row.shape[0]
    x = row.astype(np.float64)
    spread = np.empty(d)
    for i in range(d):
        spread[i] = _dot(covariance[i], x)
    damping = 1.0 / (1.0 + weight * _dot(spread, x))
    _add_scaled(spread, (response - weight * _dot(mean, x)) * damping, mean)
    for i in range(d):
        _add_scaled(spread, -weight * damping * spread[i], covariance[i])


@kernel(void(f64_out, f64_out_2d, f32_out, f32_in, f64, f64))
def learn_row(mean: F64, covariance: F64, packed: F32, row: F32, weight: float, response: float) -> None:
    """`absorb`, and the packed posterior (bandits.kernels.packed) made anew: the next decision knows the row."""
    absorb(mean, covariance, row, weight, response)
    pack_posterior(mean, covariance, packed)
