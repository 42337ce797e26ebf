"""The probability that each arm is the best, when scores are independent normals: Thompson's pmf without drawing.

p_k = integral of pdf_k(t) * product over j != k of cdf_j(t) dt, all arms at once on one grid. With G(t) = the product of
all cdfs (the distribution of the largest score), arm k's integrand is G(t) times its hazard pdf_k(t) / cdf_k(t).

The grid starts at T where G(T) is about 1e-6, found by Newton's method. Every arm that still matters beyond T has its
own T within a few of its standard deviations, the sharpest as well as the widest, so one grid whose step grows in
proportion to the distance from T, t = T + a sinh(x), is fine enough for each of them; a trapezoid rule in x converges
exponentially for smooth integrands. log G is concave, so -log G(T) / (log G)'(T) bounds from below the distance at
which G can become large: that is the scale a.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import bool_in, f64, f64_in, f64_out, kernel, void
from bandits.kernels.normal import fast_pdf_cdf

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

LOG_START: Final = math.log(1e-5)  # Newton aims here ...
LOG_NEAR: Final = math.log(1e-6)  # ... and is content here
LOWER_SDS: Final = 4.265  # cdf(-4.265) = 1e-5
NEWTON_STEPS_MAX: Final = 60
STEP: Final = 0.2  # of x; with SCALE measured to keep the total variation from the truth below 1e-4
SCALE: Final = 1.6  # a in units of the distance that concavity of log G gives
SHARPEST: Final = 1e-9  # an sd below this share of the largest is raised to it: the grid stays below 300 nodes


@kernel(lanes=True)
def _hazards(t: np.float32, d: F32, precision: F32, n: int, cdf: F32, hazard: F32) -> None:
    for k in range(n):
        x = (t - d[k]) * precision[k]
        density, below = fast_pdf_cdf(x)
        below = max(below, f32(1e-7))
        cdf[k] = below
        hazard[k] = density * precision[k] / below


@kernel(lanes=True)
def _sum(x: F32, n: int) -> float:
    total = f32(0.0)
    for k in range(n):
        total += x[k]
    return float(total)


@kernel(lanes=True)
def _product(x: F32, start: int, stop: int) -> float:
    total = 1.0
    for k in range(start, stop):
        total *= x[k]
    return total


@kernel()
def _log_product(x: F32, n: int) -> float:
    """Log of the product; blocks of 32 factors of at least 1e-7 stay above the smallest float64."""
    total = 0.0
    for start in range(0, n, 32):
        total += math.log(_product(x, start, min(start + 32, n)))
    return total


@kernel()
def _centre_and_spread(mean: F64, sd: F64, mask: Mask) -> tuple[int, float, float]:
    """Number of eligible arms, their highest mean, their largest sd."""
    eligible = 0
    centre = -np.inf
    spread = 0.0
    for k in range(mean.shape[0]):
        if mask[k]:
            eligible += 1
            centre = max(centre, float(mean[k]))
            spread = max(spread, float(sd[k]))
    return eligible, centre, spread


@kernel()
def _share_ties(mean: F64, mask: Mask, centre: float, out: F64) -> None:
    """Every score is certain: the arms with the highest mean share the probability."""
    ties = 0
    for k in range(mean.shape[0]):
        if mask[k] and mean[k] == centre:
            ties += 1
    for k in range(mean.shape[0]):
        out[k] = 1.0 / ties if mask[k] and mean[k] == centre else 0.0


@kernel()
def _contenders(
    mean: F64,
    sd: F64,
    mask: Mask,
    eligible: int,
    centre: float,
    spread: float,
    arm: NDArray[np.int64],
    d: F32,
    precision: F32,
) -> tuple[int, float]:
    """The arms that can be best, as distances from the first point of the grid and inverse sds, in units of `spread`.

    Returns their number and how far above that point the grid has to reach.
    """
    reach_sds = 4.3 + 0.19 * math.log(eligible)
    start = -np.inf
    for k in range(mean.shape[0]):
        if mask[k]:
            start = max(start, (mean[k] - centre) / spread - LOWER_SDS * max(sd[k] / spread, SHARPEST))
    n = 0
    reach = 0.0
    for k in range(mean.shape[0]):
        if mask[k]:
            s = max(sd[k] / spread, SHARPEST)
            above = (mean[k] - centre) / spread - start
            if above + reach_sds * s > 0.0:
                arm[n] = k
                d[n] = above
                precision[n] = 1.0 / s
                reach = max(reach, above + reach_sds * s)
                n += 1
    return n, reach


@kernel()
def _grid_start(d: F32, precision: F32, n: int, cdf: F32, hazard: F32) -> tuple[float, float]:
    """T, and the scale of the grid there. Newton on a concave function from its left never oversteps."""
    t = 0.0
    scale = 1.0
    for _ in range(NEWTON_STEPS_MAX):
        _hazards(f32(t), d, precision, n, cdf, hazard)
        log_g = _log_product(cdf, n)
        slope = _sum(hazard, n)
        scale = -SCALE * LOG_START / slope
        if log_g >= LOG_NEAR:
            break
        t += (LOG_START - log_g) / slope
    return t, scale


@kernel(lanes=True)
def _add_node(weight: np.float32, hazard: F32, n: int, total: F32) -> None:
    for k in range(n):
        total[k] += weight * hazard[k]


@kernel()
def _integrate(
    start: float, scale: float, reach: float, d: F32, precision: F32, n: int, cdf: F32, hazard: F32, total: F32
) -> None:
    """Trapezoid rule in x; the integrand is next to nothing at both ends."""
    last = math.asinh(max(reach - start, 0.0) / scale)
    intervals = math.ceil(last / STEP) + 1
    growth = math.exp(last / intervals)
    e = 1.0
    for k in range(n):
        total[k] = 0.0
    for _ in range(intervals + 1):
        t = start + scale * 0.5 * (e - 1.0 / e)
        _hazards(f32(t), d, precision, n, cdf, hazard)
        weight = 0.5 * (e + 1.0 / e) * _product(cdf, 0, n)
        _add_node(f32(weight), hazard, n, total)
        e *= growth


@kernel()
def _quadrature(mean: F64, sd: F64, mask: Mask, eligible: int, centre: float, spread: float, out: F64) -> None:
    arms = mean.shape[0]
    arm = np.empty(arms, np.int64)
    scratch = np.empty((5, arms), np.float32)
    d, precision, cdf, hazard, total = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    n, reach = _contenders(mean, sd, mask, eligible, centre, spread, arm, d, precision)
    start, scale = _grid_start(d, precision, n, cdf, hazard)
    _integrate(start, scale, reach, d, precision, n, cdf, hazard, total)
    whole = _sum(total, n)
    for k in range(arms):
        out[k] = 0.0
    for i in range(n):
        out[arm[i]] = total[i] / whole


@kernel()
def _add_floor(mask: Mask, eligible: int, floor: float, out: F64) -> None:
    for k in range(out.shape[0]):
        if mask[k]:
            out[k] = (1.0 - floor) * out[k] + floor / eligible


@kernel(void(f64_in, f64_in, bool_in, f64, f64_out))
def argmax_pmf(mean: F64, sd: F64, mask: Mask, floor: float, out: F64) -> None:
    """Write the probability that each eligible arm has the largest of independent N(mean, sd^2) scores, floored.

    Args:
        mean: (arms,) finite.
        sd: (arms,) finite, not negative; 0 is a certain score, equal certain scores share.
        mask: (arms,) True where the arm is eligible.
        floor: the share epsilon in [0, 1] that is spread evenly: p = (1 - epsilon) p + epsilon / eligible.
        out: (arms,) exactly 0 where masked; sums to 1, or to 0 when no arm is eligible.

    Finite input never gives NaN; that it is finite is the caller's duty. Within 1e-4 total variation of the truth.
    Without a floor an arm whose probability is below about 1e-5 may be given exactly 0.
    """
    eligible, centre, spread = _centre_and_spread(mean, sd, mask)
    if eligible == 0:
        out[:] = 0.0
    elif spread > 0.0:
        _quadrature(mean, sd, mask, eligible, centre, spread, out)
    else:
        _share_ties(mean, mask, centre, out)
    _add_floor(mask, eligible, floor, out)
