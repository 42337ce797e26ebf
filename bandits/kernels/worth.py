"""What an offer is worth, and how sure that is: chances of the heads, whitened features, deviations relative to the best offer.

With a lower factor L of the covariance, S = L L', the whitened row psi = phi' L turns every variance into a length:
phi' S phi = |psi|^2, and (phi_k - phi_b)' S (phi_k - phi_b) = |psi_k - psi_b|^2, never below 0 and without cancellation.

The value of an offer is sum_h v_h p_h with p_h = g(eta_h). What its comparison with the best offer b leaves open is, to first order,

    s_k^2 = scale^2 sum_h v_h^2 c_h^2 |psi_kh - psi_bh|^2,    c_h = (p_kh - p_bh) / (eta_kh - eta_bh),

with the secant c_h in place of a slope: with one head, comparing values is then exactly comparing log-odds. What all offers have in
common (the bias, the person) cancels out: with plain variances it would be explored as if each offer had its own draw of it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    bool_in,
    boolean,
    f32_in_2d,
    f32_in_3d,
    f32_out_2d,
    f64,
    f64_in,
    i64,
    kernel,
    void,
)
from bandits.kernels.normal import fast_exp

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

BEST_SHARE: Final = 1e-3
"""Every deviation is at least this share of the largest: the best offer has none of its own."""

_NARROW: Final = f32(0.05)


@kernel(lanes=True)
def fast_sigmoid(eta: np.float32) -> np.float32:
    """1 / (1 + exp(-eta)) in float32, relative error below 1e-4; flat beyond 18 on either side."""
    e = fast_exp(max(-abs(eta), f32(-18.0)))
    return (f32(1.0) if eta >= f32(0.0) else e) / (f32(1.0) + e)


@kernel(void(f32_in_2d, f32_in_2d, i64, f32_out_2d), lanes=True)
def whiten(x: F32, factor: F32, first: int, out: F32) -> None:
    """Write x @ factor into the columns of out that begin at `first`.

    Args:
        x: (offers, d).
        factor: (d, d) lower triangular, the covariance is factor @ factor.T.
        first: the first column to write.
        out: (offers, at least first + d); other columns are left alone.
    """
    d = x.shape[1]
    for k in range(x.shape[0]):
        row = out[k, first : first + d]
        for j in range(d):
            row[j] = f32(0.0)
        for i in range(d):
            scale = x[k, i]
            of_i = factor[i]
            for j in range(d):
                row[j] += scale * of_i[j]


@kernel(lanes=True)
def secant(eta: np.float32, chance: np.float32, other_eta: np.float32, other_chance: np.float32) -> np.float32:
    """(p - p') / (eta - eta') of the logistic function, p (1 - p) where both are one; in either order, without cancellation.

    With d = eta - eta' > 0 it is p (1 - p') (1 - exp(-d)) / d.
    """
    d = abs(eta - other_eta)
    above, below = max(chance, other_chance), min(chance, other_chance)
    if d < _NARROW:
        mean_slope = f32(1.0) - d * (f32(0.5) - d * f32(0.16666667))
    else:
        mean_slope = (f32(1.0) - fast_exp(max(-d, f32(-18.0)))) / d
    return above * (f32(1.0) - below) * mean_slope


@kernel(lanes=True)
def _distance(x: F32, y: F32) -> np.float32:
    total = f32(0.0)
    for i in range(x.shape[0]):
        total += (x[i] - y[i]) * (x[i] - y[i])
    return total


@kernel()
def relative_deviations(
    whitened: F32, eta: F32, chance: F32, worth: F64, is_logit: bool, mask: Mask, best: int, out: F64
) -> bool:
    """Write s_k of the offers in the mask, with scale 1; the others are left alone. To be called from other kernels.

    Args:
        whitened: (heads, offers, width) rows psi.
        eta: (heads, offers).
        chance: (heads, offers), g(eta).
        worth: (heads,) v_h.
        is_logit: otherwise the secant is 1.
        mask: (offers,).
        best: the offer b.
        out: (offers,).

    Returns:
        Whether all of them are numbers.
    """
    largest = 0.0
    for k in range(out.shape[0]):
        if mask[k]:
            total = 0.0
            for h in range(worth.shape[0]):
                slope = secant(eta[h, k], chance[h, k], eta[h, best], chance[h, best]) if is_logit else f32(1.0)
                total += (worth[h] * slope) ** 2 * _distance(whitened[h, k], whitened[h, best])
            out[k] = np.sqrt(total)
            if not out[k] < np.inf:
                return False
            largest = max(largest, out[k])
    for k in range(out.shape[0]):
        if mask[k]:
            out[k] = max(out[k], BEST_SHARE * largest)
    return True


@kernel(f64(f32_in_3d, f32_in_2d, f64_in, boolean, i64))
def deviation(whitened: F32, chance: F32, worth: F64, is_logit: bool, k: int) -> float:
    """The plain deviation of the value of offer k: sqrt(sum_h v_h^2 g'(eta_h)^2 |psi_kh|^2). Arguments as above."""
    total = 0.0
    for h in range(worth.shape[0]):
        slope = chance[h, k] * (f32(1.0) - chance[h, k]) if is_logit else f32(1.0)
        length = f32(0.0)
        for x in whitened[h, k]:
            length += x * x
        total += (worth[h] * slope) ** 2 * length
    return float(np.sqrt(total))


@kernel(i64(f64_in, bool_in))
def best_of(level: F64, mask: Mask) -> int:
    """The first offer of the mask with the highest level; -1 when the mask is empty or no level is a number."""
    best = -1
    for k in range(level.shape[0]):
        if mask[k] and (best < 0 or level[k] > level[best]) and level[k] == level[k]:
            best = k
    return best
