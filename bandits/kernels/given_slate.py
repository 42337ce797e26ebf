"""What each slot of a slate would have been drawn from, given what was taken before it: the probabilities of `slate` without its draw."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    bool_in,
    boolean,
    f32_in_2d,
    f32_in_3d,
    f64,
    f64_in,
    f64_out_2d,
    i16_in_2d,
    i64,
    i64_in,
    kernel,
)
from bandits.kernels.slate import F32, F64, I64, Mask, diverse, kinds
from bandits.kernels.slot import NOT_A_NUMBER, scratch_of, slot_pmf


@kernel(
    boolean(
        f64_in, f32_in_3d, f32_in_2d, f32_in_2d, f64_in, boolean, f64, f64, bool_in, i16_in_2d, i64, f64, i64_in, f64_out_2d,
    )
)  # fmt: skip  # as in slate
def slate_pmfs(
    value: F64,
    whitened: F32,
    eta: F32,
    chance: F32,
    worth: F64,
    is_logit: bool,
    spread: float,
    optimism: float,
    mask: Mask,
    tags: NDArray[np.int16],
    per_tag_max: int,
    floor: float,
    taken: I64,
    pmf: F64,
) -> bool:
    """Write the pmf (slots, offers) of every slot given the offers `taken` (slots,) in the slots before it.

    The other arguments are those of `slate.draw_slate`; of what it has drawn this is bit for bit what each slot was drawn from.
    False when a deviation is not a number: what was written then means nothing.
    """
    left, open_to = mask.copy(), mask.copy()
    deviations, arm, scratch = scratch_of(eta.shape[1])
    is_kind = kinds(tags, mask) if per_tag_max > 0 else np.zeros(0, np.bool_)
    crowd = np.zeros(len(is_kind), np.int64)
    best = -1
    for slot in range(len(taken)):
        if per_tag_max > 0 and slot > 0:
            diverse(tags, is_kind, crowd, per_tag_max, left, open_to)
        elif slot > 0:
            open_to[:] = left
        best = slot_pmf(
            value, whitened, eta, chance, worth, is_logit, spread, optimism, open_to, floor, best,
            deviations, arm, scratch, pmf[slot],
        )  # fmt: skip  # as in slate
        if best == NOT_A_NUMBER:
            return False
        left[taken[slot]] = False
        for tag in tags[taken[slot]]:
            if 0 <= tag < len(crowd):
                crowd[tag] += 1
    return True
