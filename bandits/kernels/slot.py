"""The pmf of one slot: how often each open offer is the best, measured against the one of the highest value."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.against_best import gather, quadrature
from bandits.kernels.compile import kernel
from bandits.kernels.worth import best_of, relative_deviations

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

NOT_A_NUMBER: Final = -2
_FARTHEST_GAP: Final = 1e30
_ROWS: Final = 21
"""Numbers of scratch for each offer, and there are at least eight: gaps, deviations, precisions, offsets, probabilities, and 16 for the quadrature."""


@kernel()
def scratch_of(width: int) -> tuple[F64, I64, Mask, F32]:
    """Deviations (width,), indices, a mask and room for numbers, made once for all slots."""
    return np.zeros(width), np.empty(width, np.int64), np.empty(width, np.bool_), np.empty(_ROWS * width, np.float32)


@kernel(counts=False)
def _widest(deviations: F64, mask: Mask) -> float:
    """The largest deviation of the mask; infinite when the square of one is not a finite number."""
    widest = 0.0
    for k in range(mask.shape[0]):
        if mask[k]:
            if not deviations[k] * deviations[k] < np.inf:
                return np.inf
            widest = max(widest, deviations[k])
    return float(widest)


@kernel(counts=False)
def _share_highest(level: F64, mask: Mask, out: F64) -> None:
    """The open offers of the highest level share."""
    highest = -np.inf
    ties = 0
    for k in range(mask.shape[0]):
        if mask[k] and level[k] >= highest:
            ties = ties + 1 if level[k] == highest else 1
            highest = level[k]
    for k in range(mask.shape[0]):
        out[k] = 1.0 / ties if mask[k] and level[k] == highest else 0.0


@kernel()
def _share_most_hopeful(value: F64, deviations: F64, optimism: float, mask: Mask, out: F64) -> None:
    """The open offers of the highest value + optimism s share."""
    _share_highest(value + optimism * deviations[: value.shape[0]], mask, out)


@kernel(counts=False)
def _against(
    value: F64,
    deviations: F64,
    mask: Mask,
    best: int,
    spread: float,
    widest: float,
    arm: I64,
    uncertain: Mask,
    scratch: F32,
    out: F64,
) -> None:
    """The exact pmf of N(value, (spread deviation)^2): offers that are surely as good as the best share its probability."""
    width = arm.shape[0]
    offers = mask.shape[0]
    mean, sd, precision = scratch[:width], scratch[width : 2 * width], scratch[2 * width : 3 * width]
    offset, p = scratch[3 * width : 4 * width], scratch[4 * width : 5 * width]
    ties = 0
    for k in range(offers):
        out[k] = 0.0
        mean[k] = f32(0.0)
        uncertain[k] = False
        if mask[k]:
            sd[k] = deviations[k] / widest
            mean[k] = -min((value[best] - value[k]) / (spread * widest), _FARTHEST_GAP)
            uncertain[k] = deviations[k] > 0.0
            if not uncertain[k] and value[k] == value[best]:
                out[k] = 1.0
                ties += 1
    n, sharpest, reach = gather(mean, sd, uncertain[:offers], best, arm, precision, offset)
    of_best, whole = quadrature(precision, offset, n, sharpest, reach, scratch[5 * width :], p)
    for k in range(offers):
        out[k] *= of_best / (ties * whole)
    for i in range(n):
        out[arm[i]] = p[i] / whole


@kernel(counts=False)
def _add_floor(mask: Mask, floor: float, out: F64) -> None:
    eligible = 0
    for k in range(mask.shape[0]):
        eligible += mask[k]
    for k in range(mask.shape[0]):
        if mask[k]:
            out[k] = (1.0 - floor) * out[k] + floor / eligible


@kernel(counts=False)
def slot_pmf(
    value: F64,
    whitened: F32,
    eta: F32,
    chance: F32,
    worth: F64,
    is_logit: bool,
    spread: float,
    optimism: float,
    open_to: Mask,
    floor: float,
    measured: int,
    deviations: F64,
    arm: I64,
    uncertain: Mask,
    scratch: F32,
    out: F64,
) -> int:
    """Write the probability that each open offer has the largest of independent N(value, (spread s)^2), floored.

    s are the deviations relative to the open offer of the highest value, which has none itself; offers that differ from it in nothing
    share its probability. Within 1e-4 total variation of the truth while no s but 0 is below 1e-6 of the largest. With spread 0 the
    highest value + optimism s wins, and equals share. To be called from other kernels.

    Args:
        value: as in `slate.draw_slate`, like the seven that follow.
        whitened: see above.
        eta: see above.
        chance: see above.
        worth: see above.
        is_logit: see above.
        spread: see above.
        optimism: see above.
        open_to: (offers,) True where the offer may be chosen.
        floor: the share epsilon in [0, 1] that is spread evenly: p = (1 - epsilon) p + epsilon / open offers.
        measured: the offer that `deviations` were made against for the slot before, -1 for none.
        deviations: of `scratch_of`, like the next three.
        arm: see above.
        uncertain: see above.
        scratch: see above.
        out: (offers,) exactly 0 where not open; sums to 1, or to 0 when nothing is open.

    Returns:
        The offer of the highest value, -1 when nothing is open; NOT_A_NUMBER when a variance is none, and `out` then means nothing.
    """
    best = best_of(value, open_to)
    if best < 0:
        out[:] = 0.0
        return best
    if spread <= 0.0 and optimism <= 0.0:
        _share_highest(value, open_to, out)
    else:
        if best != measured:
            relative_deviations(whitened, eta, chance, worth, is_logit, best, scratch, deviations)
        widest = _widest(deviations, open_to)
        if widest == np.inf:
            return NOT_A_NUMBER
        if spread > 0.0 and widest > 0.0:
            _against(value, deviations, open_to, best, spread, widest, arm, uncertain, scratch, out)
        else:
            _share_most_hopeful(value, deviations, optimism, open_to, out)
    _add_floor(open_to, floor, out)
    return best
