"""What an offer is worth, and how sure that is: chances of the heads, whitened features, deviations relative to the best offer.

With a lower factor L of the covariance, S = L L', the whitened row psi = phi' L turns every variance into a length:
phi' S phi = |psi|^2, and (phi_k - phi_b)' S (phi_k - phi_b) = |psi_k - psi_b|^2, never below 0 and without cancellation.

The value of an offer is sum_h v_h p_h with p_h = g(eta_h). What its comparison with the best offer b leaves open is, to first order,

    s_k^2 = scale^2 sum_h v_h^2 c_h^2 |psi_kh - psi_bh|^2,    c_h = (p_kh - p_bh) / (eta_kh - eta_bh),

with the secant c_h in place of a slope: with one head, comparing values is then exactly comparing log-odds. What all offers have in
common (the bias, the person) cancels out: with plain variances it would be explored as if each offer had its own draw of it. The best
offer is the measure and has no deviation of its own.

Offers lie side by side: one register holds a number of eight offers, and arrays are as wide as the offers padded to `packed.ARMS`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import bool_in, boolean, f32_in_2d, f32_in_3d, f64, f64_in, i64, kernel
from bandits.kernels.lanes import WIDTH, Lanes, add, div, fma, high, load, low, mul, pick, splat, store, sub, total
from bandits.kernels.packed import ARMS

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NARROW: Final = 0.05
_FLAT: Final = -18.0
_TAYLOR: Final = (1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)


@kernel()
def _exp(y: Lanes) -> Lanes:
    """exp(y) for y <= 0, flat below -18, as `normal.fast_exp`: (Taylor polynomial of y / 64)**64, relative error below 5e-5."""
    z = mul(high(y, splat(f32(_FLAT))), splat(f32(0.015625)))
    p = splat(f32(_TAYLOR[0]))
    p = fma(z, p, splat(f32(_TAYLOR[1])))
    p = fma(z, p, splat(f32(_TAYLOR[2])))
    p = fma(z, p, splat(f32(_TAYLOR[3])))
    p = fma(z, p, splat(f32(_TAYLOR[4])))
    p = fma(z, p, splat(f32(_TAYLOR[5])))
    p = mul(p, p)
    p = mul(p, p)
    p = mul(p, p)
    p = mul(p, p)
    p = mul(p, p)
    return mul(p, p)


@kernel()
def _magnitude(x: Lanes) -> Lanes:
    return high(x, sub(splat(f32(0.0)), x))


@kernel(counts=False)
def sigmoids(eta: F32, out: F32) -> None:
    """Write 1 / (1 + exp(-eta)) of whole registers, relative error below 1e-4; flat beyond 18 on either side."""
    nothing, one = splat(f32(0.0)), splat(f32(1.0))
    for k in range(0, eta.shape[0], WIDTH):
        x = load(eta, k)
        away = _exp(sub(nothing, _magnitude(x)))
        store(out, k, div(_exp(low(x, nothing)), add(one, away)))


@kernel(counts=False)
def linear(weights: F32, x: F32, width: int, first: int, out: F32) -> None:
    """Write weights . x of every offer (width,); x holds feature j of offer k at first + j * width + k."""
    for k in range(0, width, WIDTH):
        a = splat(f32(0.0))
        for j in range(weights.shape[0]):
            a = fma(splat(weights[j]), load(x, first + j * width + k), a)
        store(out, k, a)


@kernel(counts=False)
def whiten(x: F32, factor: F32, width: int, first: int, out: F32, row: int) -> None:
    """Write psi = factor' x of every offer into the rows of out from `row` on.

    Args:
        x: feature j of offer k at first + j * width + k.
        factor: (d, d) lower triangular, the covariance is factor @ factor.T.
        width: offers, padded to whole pairs of registers.
        first: where x begins.
        out: flat, number j of offer k at (row + j) * width + k.
        row: see out.
    """
    d = factor.shape[0]
    for k in range(0, width, ARMS):
        for j in range(d):
            a = splat(f32(0.0))
            b = a
            for i in range(j, d):
                scale = splat(factor[i, j])
                at = first + i * width + k
                a = fma(scale, load(x, at), a)
                b = fma(scale, load(x, at + WIDTH), b)
            store(out, (row + j) * width + k, a)
            store(out, (row + j) * width + k + WIDTH, b)


@kernel(counts=False)
def is_finite(x: F32) -> bool:
    """Whether all numbers of whole registers are finite: 0 times any other is not a number."""
    a, nothing = splat(f32(0.0)), splat(f32(0.0))
    for k in range(0, x.shape[0], WIDTH):
        a = fma(nothing, load(x, k), a)
    return bool(total(a) == f32(0.0))


@kernel()
def _secant(eta: Lanes, chance: Lanes, other_eta: Lanes, other_chance: Lanes) -> Lanes:
    """(p - p') / (eta - eta') of the logistic function, p (1 - p) where both are one; in either order, without cancellation.

    With d = |eta - eta'| and p >= p' it is p (1 - p') (1 - exp(-d)) / d.
    """
    one, nothing = splat(f32(1.0)), splat(f32(0.0))
    d = _magnitude(sub(eta, other_eta))
    near = sub(one, mul(d, sub(splat(f32(0.5)), mul(d, splat(f32(1 / 6))))))
    far = div(sub(one, _exp(sub(nothing, d))), high(d, splat(f32(_NARROW))))
    above, below = high(chance, other_chance), low(chance, other_chance)
    return mul(mul(above, sub(one, below)), pick(d, splat(f32(_NARROW)), near, far))


@kernel(counts=False)
def _add_moved(psi: F32, eta: F32, chance: F32, worth: float, is_logit: bool, best: int, moved: F32, out: F64) -> None:
    """Add v^2 c^2 |psi_k - psi_b|^2 of one head; psi is flat, `moved` is room for a register."""
    width = eta.shape[0]
    for k in range(0, width, WIDTH):
        square = splat(f32(0.0))
        for row in range(0, psi.shape[0], width):
            away = sub(load(psi, row + k), splat(psi[row + best]))
            square = fma(away, away, square)
        if is_logit:
            slope = _secant(load(eta, k), load(chance, k), splat(eta[best]), splat(chance[best]))
            square = mul(mul(slope, slope), square)
        store(moved, 0, square)
        for i in range(WIDTH):
            out[k + i] += worth * worth * moved[i]


@kernel(counts=False)
def relative_deviations(
    whitened: F32, eta: F32, chance: F32, worth: F64, is_logit: bool, best: int, moved: F32, out: F64
) -> None:
    """Write s_k of every offer, with scale 1; 0 for the best. To be called from other kernels.

    Args:
        whitened: (heads, rows, width) numbers psi.
        eta: (heads, width).
        chance: (heads, width), g(eta).
        worth: (heads,) v_h.
        is_logit: otherwise the secant is 1.
        best: the offer b.
        moved: room for the eight numbers of a register.
        out: (width,); infinite or not a number where the variance is.
    """
    out[:] = 0.0
    for h in range(worth.shape[0]):
        psi = whitened[h].reshape(whitened.shape[1] * whitened.shape[2])
        _add_moved(psi, eta[h], chance[h], worth[h], is_logit, best, moved, out)
    for k in range(out.shape[0]):
        out[k] = np.sqrt(out[k])


@kernel(f64(f32_in_3d, f32_in_2d, f64_in, boolean, i64))
def deviation(whitened: F32, chance: F32, worth: F64, is_logit: bool, k: int) -> float:
    """The plain deviation of the value of offer k: sqrt(sum_h v_h^2 g'(eta_h)^2 |psi_kh|^2). Arguments as above."""
    variance = 0.0
    for h in range(worth.shape[0]):
        slope = chance[h, k] * (f32(1.0) - chance[h, k]) if is_logit else f32(1.0)
        length = f32(0.0)
        for row in range(whitened.shape[1]):
            length += whitened[h, row, k] * whitened[h, row, k]
        variance += (worth[h] * slope) ** 2 * length
    return float(np.sqrt(variance))


@kernel(i64(f64_in, bool_in))
def best_of(level: F64, mask: Mask) -> int:
    """The first offer of the mask with the highest level; -1 when the mask is empty or no level is a number."""
    best = -1
    for k in range(mask.shape[0]):
        if mask[k] and (best < 0 or level[k] > level[best]) and level[k] == level[k]:
            best = k
    return best
