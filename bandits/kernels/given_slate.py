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
from bandits.kernels.slate import F32, F64, I64, Mask, walk


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
    return walk(
        value, whitened, eta, chance, worth, is_logit, spread, optimism, mask, tags, per_tag_max, floor, 0, True,
        taken.copy(), pmf,
    )  # fmt: skip  # as in slate
