"""One decision in one call: scores from a packed posterior, the exact pmf relative to the best arm, and the draw."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.against_best import gather, quadrature
from bandits.kernels.compile import bool_in, f32_in, f32_in_2d, f32_out, f64, f64_out, i64, kernel, u64, void
from bandits.kernels.draw import draw
from bandits.kernels.lanes import WIDTH
from bandits.kernels.packed import ARMS, means, padded, sds, shift_to, transpose
from bandits.kernels.random import uniform

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

SCRATCH: Final = 21  # numbers for each arm beside its features


@kernel()
def best_of(mean: F32, mask: Mask) -> int:
    """The eligible arm of the highest mean, the first of equals; -1 without one."""
    best = -1
    for k in range(mask.shape[0]):
        if mask[k] and (best < 0 or mean[k] > mean[best]):
            best = k
    return best


@kernel()
def relative_pmf(mean: F32, sd: F32, mask: Mask, best: int, floor: float, scratch: F32, out: F64) -> None:
    """Write the floored pmf (arms,); sd is that of each arm's difference to the best, its own is not read.

    Scratch: 19 numbers for each arm, arms padded to eights.
    """
    arms = mask.shape[0]
    width = padded(arms, WIDTH)
    arm = np.empty(arms, np.int64)
    precision, offset, p = scratch[:width], scratch[width : 2 * width], scratch[2 * width : 3 * width]
    n, sharpest, reach = gather(mean, sd, mask, best, arm, precision, offset)
    of_best = quadrature(precision, offset, n, sharpest, reach, scratch[3 * width :], p)
    whole = of_best
    eligible = 0
    for i in range(n):
        whole += p[i]
    for k in range(arms):
        eligible += mask[k]
    even = floor / eligible
    share = (1.0 - floor) / whole
    for k in range(arms):
        out[k] = even if mask[k] else 0.0
    for i in range(n):
        out[arm[i]] += share * p[i]
    out[best] += share * of_best


@kernel(void(f32_in_2d, f32_in, f32_out, f32_out))
def scores(phi: F32, posterior: F32, mean: F32, sd: F32) -> None:
    """Write mean and standard deviation of each arm's score.

    Args:
        phi: (arms, d) finite features.
        posterior: packed, see bandits.kernels.packed.
        mean: (arms,) out.
        sd: (arms,) out.
    """
    arms, dims = phi.shape
    whole, width = padded(dims, WIDTH), padded(arms, ARMS)
    scratch = np.empty((whole + 2) * width, np.float32)
    x, means_, sds_ = scratch[: whole * width], scratch[whole * width :], scratch[(whole + 1) * width :]
    x[dims * width :] = 0.0
    transpose(phi, x, width)
    means(posterior, x, dims, width, means_)
    sds(posterior, x, whole, width, f32(1.0), sds_)
    mean[:] = means_[:arms]
    sd[:] = sds_[:arms]


@kernel(i64(f32_in_2d, bool_in, f32_in, f64, f64, f64_out))
def thompson_pmf(phi: F32, mask: Mask, posterior: F32, scale: float, floor: float, pmf: F64) -> int:
    """Write Thompson's pmf relative to the best arm, and give that arm, the eligible one of the highest mean.

    Args:
        phi: (arms, d) finite features.
        mask: (arms,) True where the arm is eligible.
        posterior: packed, see bandits.kernels.packed.
        scale: of the standard deviations.
        floor: epsilon, spread evenly over the eligible arms.
        pmf: (arms,) out, exactly 0 where masked; zeros when none is eligible, and then -1 is returned.
    """
    arms, dims = phi.shape
    whole, width = padded(dims, WIDTH), padded(arms, ARMS)
    scratch = np.empty((whole + SCRATCH) * width, np.float32)
    x, mean, sd = scratch[: whole * width], scratch[whole * width :], scratch[(whole + 1) * width :]
    x[dims * width :] = 0.0
    transpose(phi, x, width)
    means(posterior, x, dims, width, mean)
    best = best_of(mean, mask)
    if best < 0:
        pmf[:] = 0.0
    else:
        shift_to(best, x, dims, width)
        sds(posterior, x, whole, width, f32(scale), sd)
        relative_pmf(mean, sd, mask, best, floor, scratch[(whole + 2) * width :], pmf)
    return best


@kernel(i64(f32_in_2d, bool_in, f32_in, f64, f64, u64, f64_out))
def decide(phi: F32, mask: Mask, posterior: F32, scale: float, floor: float, key: int, pmf: F64) -> int:
    """Draw an arm from `thompson_pmf` with the uniform number (key, 0); its propensity is pmf[arm]. -1 without an arm."""
    thompson_pmf(phi, mask, posterior, scale, floor, pmf)
    return draw(pmf, uniform(key, 0))
