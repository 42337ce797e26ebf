"""Everything one snapshot says of every offer for one person, in one call."""

import numpy as np
from numpy.typing import NDArray

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
    void,
)
from bandits.kernels.linear import linear_means
from bandits.kernels.worth import fast_sigmoid, whiten

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


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
    own_factor: F32,
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
    """Write predictors, chances, whitened rows and values; see worth.

    Args:
        phi: (offers, d).
        means: (heads, d).
        factors: (heads, d, d) lower triangular, of the covariances.
        z: (offers, p) the personal columns; p may be 0.
        own_mean: (p,) of the person's own part.
        own_factor: (p, p) lower triangular, of its covariance.
        own_head: the head the personal part belongs to.
        worth: (heads,).
        prices: (offers,) shadow prices.
        is_logit: the link of the heads.
        eta: (heads, offers) out.
        chance: (heads, offers) out.
        whitened: (heads, offers, d + p) out, |row|^2 is the variance of eta.
        value: (offers,) out, worth . chance - prices.
        own: (offers,) out, the personal part of eta.

    Returns:
        Whether all of it is finite.
    """
    dims = phi.shape[1]
    linear_means(z, own_mean, own)
    whitened[:] = np.float32(0.0)
    value[:] = -prices
    for h in range(means.shape[0]):
        linear_means(phi, means[h], eta[h])
        whiten(phi, factors[h], 0, whitened[h])
        if h == own_head:
            eta[h] += own
            whiten(z, own_factor, dims, whitened[h])
        for k in range(phi.shape[0]):
            chance[h, k] = fast_sigmoid(eta[h, k]) if is_logit else eta[h, k]
            value[k] += worth[h] * chance[h, k]
    return bool(np.isfinite(eta).all() and np.isfinite(whitened).all() and np.isfinite(value).all())


@kernel(void(f32_in_2d, f32_in_3d, i64_in, f32_out_3d))
def predict(eta: F32, whitened: F32, offers: NDArray[np.int64], out: F32) -> None:
    """Write the mean and the variance of the predictor of some offers, (offers, heads, 2); arguments as in `score_offers`."""
    for i in range(offers.shape[0]):
        for h in range(eta.shape[0]):
            variance = np.float32(0.0)
            for x in whitened[h, offers[i]]:
                variance += x * x
            out[i, h, 0] = eta[h, offers[i]]
            out[i, h, 1] = variance
