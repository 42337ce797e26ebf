"""One decision in one call: scores from a packed posterior, the exact pmf relative to the best arm, and the draw."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.against_best import gather, quadrature
from bandits.kernels.compile import bool_in, f32_in, f32_in_2d, f32_out, f64, f64_out, i64, kernel, u64, void
from bandits.kernels.draw import draw
from bandits.kernels.packed import ARMS, held, means, padded, sds, shift_to, transpose
from bandits.kernels.random import uniform

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROOM: Final = 19  # numbers for each arm that the quadrature needs


class Room(NamedTuple):
    """Where a pmf is made; arms padded to eights."""

    arm: I64
    precision: F32
    offset: F32
    p: F32
    hazard: F32


@kernel()
def room_of(width: int, numbers: F32) -> Room:
    """Room for so many arms in ROOM numbers for each."""
    return Room(
        np.empty(width, np.int64),
        numbers[:width],
        numbers[width : 2 * width],
        numbers[2 * width : 3 * width],
        numbers[3 * width :],
    )


@kernel()
def best_of(mean: F32, mask: Mask) -> int:
    """The eligible arm of the highest mean, the first of equals; -1 without one."""
    best = -1
    for k in range(mask.shape[0]):
        if mask[k] and (best < 0 or mean[k] > mean[best]):
            best = k
    return best


@kernel()
def relative_pmf(mean: F32, sd: F32, mask: Mask, best: int, floor: float, room: Room, out: F64) -> None:
    """Write the floored pmf (arms,); sd is that of each arm's difference to the best, its own is not read."""
    n, sharpest, reach = gather(mean, sd, mask, best, room.arm, room.precision, room.offset)
    of_best, whole = quadrature(room.precision, room.offset, n, sharpest, reach, room.hazard, room.p)
    eligible = 0
    for k in range(mask.shape[0]):
        eligible += mask[k]
    even = floor / eligible
    share = (1.0 - floor) / whole
    for k in range(mask.shape[0]):
        out[k] = even if mask[k] else 0.0
    for i in range(n):
        out[room.arm[i]] += share * room.p[i]
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
    whole, width = held(posterior.shape[0]), padded(arms, ARMS)
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
    whole, width = held(posterior.shape[0]), padded(arms, ARMS)
    scratch = np.empty((whole + 2 + ROOM) * width, np.float32)
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
        relative_pmf(mean, sd, mask, best, floor, room_of(width, scratch[(whole + 2) * width :]), pmf)
    return best


@kernel(i64(f32_in_2d, bool_in, f32_in, f64, f64, u64, f64_out))
def decide(phi: F32, mask: Mask, posterior: F32, scale: float, floor: float, key: int, pmf: F64) -> int:
    """Draw an arm from `thompson_pmf` with the uniform number (key, 0); its propensity is pmf[arm]. -1 without an arm."""
    thompson_pmf(phi, mask, posterior, scale, floor, pmf)
    return draw(pmf, uniform(key, 0))
