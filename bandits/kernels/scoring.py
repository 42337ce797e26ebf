"""Everything one snapshot says of every offer for one person, in one call."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.cholesky import factor as cholesky
from bandits.kernels.compile import (
    boolean,
    f32_in,
    f32_in_2d,
    f32_in_3d,
    f32_out,
    f32_out_2d,
    f32_out_3d,
    f64_in,
    f64_out,
    i64,
    i64_in,
    kernel,
)
from bandits.kernels.packed import transpose
from bandits.kernels.worth import is_finite, linear, sigmoids, whiten

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@kernel()
def _columns(phi: F32, z: F32, width: int) -> F32:
    """Number j of offer k at j * width + k: phi, then z; 0 for the offers of the padding."""
    dims = phi.shape[1]
    x = np.zeros((dims + z.shape[1]) * width, np.float32)
    transpose(phi, x, width)
    transpose(z, x[dims * width :], width)
    return x


@kernel(counts=False)
def _values(chance: F32, worth: F64, prices: F64, value: F64) -> bool:
    """Write worth . chance - prices; whether all of it is finite."""
    is_known = True
    for k in range(value.shape[0]):
        value[k] = -prices[k] if prices.shape[0] > 0 else 0.0
        for h in range(worth.shape[0]):
            value[k] += worth[h] * chance[h, k]
        is_known &= abs(value[k]) < np.inf
    return is_known


@kernel(
    boolean(
        f32_in_2d, f32_in_2d, f32_in_3d, f32_in_2d, f32_in, f32_in_2d, i64, f64_in, f64_in, boolean,
        f32_out_2d, f32_out_2d, f32_out_3d, f64_out, f32_out,
    )
)  # fmt: skip  # what comes in, what goes out
def score_offers(
    phi: F32,
    means: F32,
    factors: F32,
    z: F32,
    own_mean: F32,
    own_covariance: F32,
    own_head: int,
    worth: F64,
    prices: F64,
    is_logit: bool,
    eta: F32,
    chance: F32,
    whitened: F32,
    value: F64,
    own: F32,
) -> bool:
    """Write predictors, chances, whitened rows and values; see worth. `width` is the offers padded to `packed.ARMS`.

    Args:
        phi: (offers, d).
        means: (heads, d).
        factors: (heads, d, d) lower triangular, of the covariances.
        z: (offers, p) the personal columns; (0, 0) for none.
        own_mean: (p,) of the person's own part.
        own_covariance: (p, p) its covariance.
        own_head: the head the personal part belongs to.
        worth: (heads,).
        prices: (offers,) shadow prices, (0,) for none.
        is_logit: the link of the heads.
        eta: (heads, width) out.
        chance: (heads, width) out.
        whitened: (heads, d + p, width) out, the sum of squares of an offer is the variance of eta.
        value: (offers,) out, worth . chance - prices.
        own: (width,) out, the personal part of eta.

    Returns:
        Whether all of it is finite and the personal covariance positive definite.
    """
    dims, width = phi.shape[1], own.shape[0]
    x = _columns(phi, z, width)
    lower = np.zeros(own_covariance.shape)
    if not cholesky(own_covariance, lower):
        return False
    own_factor = lower.astype(np.float32)
    linear(own_mean, x, width, dims * width, own)
    is_known = True
    for h in range(means.shape[0]):
        psi = whitened[h].reshape(whitened.shape[1] * width)
        linear(means[h], x, width, 0, eta[h])
        whiten(x, factors[h], width, 0, psi, 0)
        if h == own_head:
            eta[h] += own
            whiten(x, own_factor, width, dims * width, psi, dims)
        else:
            psi[dims * width :] = f32(0.0)
        if is_logit:
            sigmoids(eta[h], chance[h])
        else:
            chance[h] = eta[h]
        is_known &= is_finite(eta[h]) and is_finite(psi)
    return _values(chance, worth, prices, value) and is_known


@kernel(boolean(f32_in_2d, f32_in_3d, i64_in, f32_out_3d))
def predict(eta: F32, whitened: F32, offers: NDArray[np.int64], out: F32) -> bool:
    """Write the mean and the variance of the predictor of some offers, (offers, heads, 2); arguments as in `score_offers`.

    Returns:
        Whether all of it is finite.
    """
    is_known = True
    for i in range(offers.shape[0]):
        for h in range(eta.shape[0]):
            variance = f32(0.0)
            for row in range(whitened.shape[1]):
                variance += whitened[h, row, offers[i]] * whitened[h, row, offers[i]]
            out[i, h, 0] = eta[h, offers[i]]
            out[i, h, 1] = variance
            is_known &= bool(abs(out[i, h, 0]) < np.inf and variance < np.inf)
    return is_known
