"""A slate, drawn slot by slot without replacement, each slot with its own conditional propensity."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import bool_in, f64, f64_in, f64_out, f64_out_2d, i64, i64_out, kernel, u64
from bandits.kernels.draw import draw
from bandits.kernels.pmf import argmax_pmf
from bandits.kernels.random import uniform

F64 = NDArray[np.float64]


@kernel(i64(f64_in, f64_in, bool_in, i64, f64, u64, i64_out, f64_out, f64_out_2d))
def draw_slate(
    mean: F64,
    sd: F64,
    mask: NDArray[np.bool_],
    slots: int,
    floor: float,
    key: int,
    chosen: NDArray[np.int64],
    propensity: F64,
    pmf: F64,
) -> int:
    """Fill the slots in order from the arms that are left; slot s uses the uniform number (key, s).

    Args:
        mean: (arms,) as in `argmax_pmf`, like sd and mask.
        sd: (arms,).
        mask: (arms,) True where the arm may be chosen; it is not changed.
        slots: how many are wanted.
        floor: as in `argmax_pmf`, mixed in anew in every slot.
        key: of the decision.
        chosen: (slots,) out, arm per slot, -1 where no arm was left.
        propensity: (slots,) out, of that arm given the arms of the earlier slots, 0 where none was left. The
            propensity of the whole slate is the product over the filled slots.
        pmf: (slots, arms) out, what each slot was drawn from.

    Returns:
        The number of filled slots.
    """
    left = mask.copy()
    filled = 0
    for slot in range(slots):
        argmax_pmf(mean, sd, left, floor, pmf[slot])
        arm = draw(pmf[slot], uniform(key, slot))
        chosen[slot] = arm
        propensity[slot] = 0.0
        if arm >= 0:
            propensity[slot] = pmf[slot, arm]
            left[arm] = False
            filled += 1
    return filled
