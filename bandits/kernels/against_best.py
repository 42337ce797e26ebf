"""Thompson's pmf where one arm is the measure: scores are differences to the arm of the highest mean, which is certain.

With best * at 0 and the others N(-gap_k, sd_k^2), gap_k >= 0, independent:

    p_* = product of cdf_k(0),    p_k = integral from 0 of G(t) hazard_k(t) dt,    G(t) = product of all cdf_k(t),

so only upper tails are asked for. On t = a sinh(x), x in panels of PANEL with eight Gauss-Legendre nodes each, a is so
small that the sharpest arm is resolved and the panels so many that the widest is covered: the number of nodes grows with
the logarithm of how unlike the arms are. That all adds up to 1 is checked, else the panels are halved. The eight nodes of a panel are the eight lanes of a register.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import kernel
from bandits.kernels.lanes import (
    WIDTH,
    Lanes,
    add,
    div,
    fma,
    high,
    load,
    low,
    mul,
    product,
    repeat,
    splat,
    store,
    sub,
    totals,
)
from bandits.kernels.packed import padded

f32 = np.float32
F32 = NDArray[np.float32]

CUT: Final = (
    4.1  # of so many sds, and CUT_GROWTH more for each e-fold of arms, is the tail that is left out: together 5e-5
)
CUT_GROWTH: Final = 0.2
FARTHEST: Final = 6.0
PANEL: Final = 1.5
SHARPNESS: Final = 2.0  # a in units of the smallest sd; with PANEL measured to keep the total variation below 5e-5
LOWEST_SD: Final = 1e-6  # in units of the largest
LEVELS: Final = 3
PANELS_MAX: Final = 60
ENOUGH: Final = 1e-4
CROWDED: Final = 1e-4  # the best among many equals: the largest score lies far from 0, where the panels are wide
BLOCK: Final = 4  # arms that share a division

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(WIDTH)
_WIDTHS: Final = PANEL / 2.0 ** np.arange(LEVELS)[:, None]
_STRETCH: Final = np.exp(0.5 * _WIDTHS * (_NODES + 1.0)).astype(np.float32).ravel()
_SHRINK: Final = np.exp(-0.5 * _WIDTHS * (_NODES + 1.0)).astype(np.float32).ravel()
_WEIGHT: Final = (0.5 * _WIDTHS * _WEIGHTS).astype(np.float32).ravel()
_GROWTH: Final = np.exp(_WIDTHS[:, 0])
_SINH: Final = np.sinh(_WIDTHS * np.arange(PANELS_MAX + 1))
_ROOT: Final = np.array([1.0, 0.0498673470, 0.0211410061, 0.0032776263, 0.0000380036, 0.0000488906, 0.0000053830])


def _hazard_at(x: float) -> float:
    """What `_hazard` finds before this is taken off: beyond FARTHEST there must be nothing left to be multiplied."""
    p = float(np.polynomial.polynomial.polyval(x, _ROOT))
    slope = float(np.polynomial.polynomial.polyval(x, np.polynomial.polynomial.polyder(_ROOT)))
    return 8.0 * slope / (p * (p**16 - 0.5))


_FARTHEST_HAZARD: Final = _hazard_at(FARTHEST)


@kernel(counts=False)
def gather(
    mean: F32, sd: F32, mask: NDArray[np.bool_], best: int, arm: NDArray[np.int64], precision: F32, offset: F32
) -> tuple[int, float, float]:
    """The arms that can be better than the best: their precision 1 / sd and offset gap / sd, padded to whole blocks.

    All arrays but `mask` are padded to eights. Returns their number, the smallest sd and how far the integral must reach.
    """
    widest = f32(0.0)
    eligible = 0
    for k in range(mask.shape[0]):
        eligible += mask[k]
        widest = max(widest, sd[k] if mask[k] else f32(0.0))
    lowest = max(f32(LOWEST_SD) * widest, f32(1e-30))
    cut = f32(CUT + CUT_GROWTH * math.log(eligible))
    top = splat(mean[best])
    for k in range(0, mask.shape[0], WIDTH):
        inverse = div(splat(f32(1.0)), high(load(sd, k), splat(lowest)))
        store(precision, k, inverse)
        store(offset, k, mul(sub(top, load(mean, k)), inverse))
    n = 0
    sharpest = f32(np.inf)
    reach = f32(0.0)
    for k in range(mask.shape[0]):  # without branches: who is in is as good as random
        s = max(sd[k], lowest)
        is_in = mask[k] & (k != best) & (offset[k] < cut)
        sharpest = min(sharpest, s if is_in else f32(np.inf))
        reach = max(reach, (cut - offset[k]) * s if is_in else f32(0.0))
        arm[n] = k
        precision[n] = precision[k]
        offset[n] = offset[k]
        n += is_in
    for k in range(n, n + (-n) % WIDTH):
        precision[k] = f32(0.0)
        offset[k] = f32(FARTHEST)
    return n, float(sharpest), float(reach)


@kernel(counts=False)
def _root(x: Lanes) -> Lanes:
    """p(x) with 1 - cdf(x) = 1 / (2 p(x)^16) for x >= 0, to 1.5e-7: Abramowitz and Stegun, 26.2.19."""
    p = fma(x, splat(f32(_ROOT[6])), splat(f32(_ROOT[5])))
    p = fma(x, p, splat(f32(_ROOT[4])))
    p = fma(x, p, splat(f32(_ROOT[3])))
    p = fma(x, p, splat(f32(_ROOT[2])))
    p = fma(x, p, splat(f32(_ROOT[1])))
    return fma(x, p, splat(f32(_ROOT[0])))


@kernel(counts=False)
def _slope(x: Lanes) -> Lanes:
    """8 p'(x)."""
    p = fma(x, splat(f32(48.0 * _ROOT[6])), splat(f32(40.0 * _ROOT[5])))
    p = fma(x, p, splat(f32(32.0 * _ROOT[4])))
    p = fma(x, p, splat(f32(24.0 * _ROOT[3])))
    p = fma(x, p, splat(f32(16.0 * _ROOT[2])))
    return fma(x, p, splat(f32(8.0 * _ROOT[1])))


@kernel(counts=False)
def _power(p: Lanes) -> Lanes:
    p = mul(p, p)
    p = mul(p, p)
    p = mul(p, p)
    return mul(p, p)


@kernel(counts=False)
def _at_best(offset: F32, n: int) -> float:
    """The product of the cdfs at 0, eight arms at once."""
    g = splat(f32(1.0))
    for k in range(0, n, WIDTH):
        power = _power(_root(load(offset, k)))
        g = mul(g, div(sub(power, splat(f32(0.5))), power))
    return float(product(g))


@kernel(counts=False)
def _hazard(t: Lanes, precision: F32, offset: F32, k: int, hazard: F32) -> tuple[Lanes, Lanes]:
    """Store pdf / cdf of arm k at eight nodes, and give the cdf as numerator and denominator."""
    x = low(fma(t, repeat(precision, k), repeat(offset, k)), splat(f32(FARTHEST)))
    p = _root(x)
    power = _power(p)
    above = sub(power, splat(f32(0.5)))
    store(hazard, k * WIDTH, sub(div(_slope(x), mul(p, above)), splat(f32(_FARTHEST_HAZARD))))
    return above, power


@kernel(counts=False)
def _best_until(t: Lanes, precision: F32, offset: F32, n: int, hazard: F32) -> Lanes:
    """G at eight nodes; four arms share a division."""
    g = splat(f32(1.0))
    for k in range(0, n, BLOCK):
        a, b = _hazard(t, precision, offset, k, hazard)
        c, e = _hazard(t, precision, offset, k + 1, hazard)
        above, power = mul(a, c), mul(b, e)
        a, b = _hazard(t, precision, offset, k + 2, hazard)
        c, e = _hazard(t, precision, offset, k + 3, hazard)
        g = mul(g, div(mul(above, mul(a, c)), mul(power, mul(b, e))))
    return g


@kernel(lanes=True)
def _sum(p: F32, n: int) -> float:
    whole = f32(0.0)
    for k in range(n):
        whole += p[k]
    return float(whole)


@kernel(counts=False)
def _integrate(precision: F32, offset: F32, n: int, a: float, panels: int, level: int, hazard: F32, p: F32) -> float:
    """Write p (n,) and give their sum; the tail of `hazard` keeps the sums of the panels."""
    sums = padded(n, WIDTH) * WIDTH
    growth = 0.5 * a
    shrink = 0.5 * a
    for panel in range(panels):
        up = mul(splat(f32(growth)), load(_STRETCH, level * WIDTH))
        down = mul(splat(f32(shrink)), load(_SHRINK, level * WIDTH))
        g = _best_until(sub(up, down), precision, offset, n, hazard)
        weight = mul(mul(g, add(up, down)), load(_WEIGHT, level * WIDTH))
        for k in range(n):
            part = mul(weight, load(hazard, k * WIDTH))
            if panel > 0:
                part = add(part, load(hazard, sums + k * WIDTH))
            store(hazard, sums + k * WIDTH, part)
        growth *= _GROWTH[level]
        shrink /= _GROWTH[level]
    for k in range(0, n, WIDTH):
        store(p, k, mul(load(precision, k), totals(hazard, sums + k * WIDTH)))
    return _sum(p, n)


@kernel(counts=False)
def quadrature(
    precision: F32, offset: F32, n: int, sharpest: float, reach: float, hazard: F32, p: F32
) -> tuple[float, float]:
    """Write p (n,) of the arms that `gather` found, give that of the best and the sum of all, which is 1 but for the error.

    The sum is the check: where it is off, the panels are halved.

    Args:
        precision: (n,) padded to eights, like offset.
        offset: (n,).
        n: how many arms.
        sharpest: the smallest sd.
        reach: where the last of them has no chance left.
        hazard: scratch of 2 * 8 * n numbers, n padded to eights.
        p: (n,) padded to eights, out.
    """
    if n == 0:
        return 1.0, 1.0
    whole = 0.0
    best = _at_best(offset, n)
    for level in range(1 if best < CROWDED else 0, LEVELS):
        panels = 1
        while panels < PANELS_MAX and reach > SHARPNESS * sharpest * _SINH[level, panels]:
            panels += 1
        a = reach / _SINH[level, panels]
        whole = best + _integrate(precision, offset, n, a, panels, level, hazard, p)
        if abs(whole - 1.0) < ENOUGH:
            break
    return best, whole
