"""A slate, drawn slot by slot without replacement, each slot with its own conditional propensity."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    bool_in,
    boolean,
    f32_in_2d,
    f32_in_3d,
    f64,
    f64_in,
    f64_out,
    f64_out_2d,
    i16_in_2d,
    i64,
    i64_out,
    kernel,
    u64,
)
from bandits.kernels.draw import draw
from bandits.kernels.random import uniform
from bandits.kernels.slot import NOT_A_NUMBER, scratch_of, slot_pmf

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


@kernel()
def kinds(tags: NDArray[np.int16], mask: Mask) -> Mask:
    """(tags,) the tags that tell kinds of offers apart: those of at most half of the eligible offers."""
    size = 0
    eligible = 0
    for k in range(tags.shape[0]):
        for place in range(tags.shape[1]):
            size = max(size, tags[k, place] + 1)
    carried = np.zeros(size, np.int64)
    for k in range(tags.shape[0]):
        if mask[k]:
            eligible += 1
            for place in range(tags.shape[1]):
                if tags[k, place] >= 0:
                    carried[tags[k, place]] += 1
    return 2 * carried <= eligible


@kernel(counts=False)
def _crowding(tags: NDArray[np.int16], offer: int, is_kind: Mask, taken: I64) -> int:
    """In how many earlier slots the most frequent kind of this offer is."""
    most = 0
    for place in range(tags.shape[1]):
        tag = tags[offer, place]
        if tag >= 0 and is_kind[tag]:
            most = max(most, taken[tag])
    return most


@kernel(counts=False)
def diverse(tags: NDArray[np.int16], is_kind: Mask, taken: I64, per_tag_max: int, left: Mask, out: Mask) -> None:
    """Of the offers that are left those whose kinds have room; where none has, those whose kinds are the least crowded."""
    least = len(taken) + len(left)
    for k in range(len(left)):
        if left[k]:
            least = min(least, _crowding(tags, k, is_kind, taken))
    limit = max(least, per_tag_max - 1)
    for k in range(len(left)):
        out[k] = left[k] and _crowding(tags, k, is_kind, taken) <= limit


@kernel(counts=False)
def _take(tags: NDArray[np.int16], offer: int, left: Mask, taken: I64) -> None:
    """The offer has got a slot; -1 is none."""
    if offer >= 0:
        left[offer] = False
        for place in range(tags.shape[1]):
            tag = tags[offer, place]
            if 0 <= tag < len(taken):
                taken[tag] += 1


@kernel()
def walk(
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
    key: int,
    is_given: bool,
    chosen: I64,
    pmf: F64,
) -> bool:
    """Slot by slot the pmf of what is left, and what is taken of it: drawn, or what `chosen` holds already if it is given.

    One loop for both, so that what is told of a draw afterwards is bit for bit what it was made from. The arguments are those of
    `draw_slate`; False when a deviation is not a number. To be called from other kernels.
    """
    left, open_to = mask.copy(), mask.copy()
    deviations, arm, uncertain, scratch = scratch_of(eta.shape[1])
    is_kind = kinds(tags, mask) if per_tag_max > 0 else np.zeros(0, np.bool_)
    taken = np.zeros(len(is_kind), np.int64)
    best = -1
    for slot in range(len(chosen)):
        if per_tag_max > 0 and slot > 0:
            diverse(tags, is_kind, taken, per_tag_max, left, open_to)
        elif slot > 0:
            open_to[:] = left
        best = slot_pmf(
            value, whitened, eta, chance, worth, is_logit, spread, optimism, open_to, floor, best,
            deviations, arm, uncertain, scratch, pmf[slot],
        )  # fmt: skip  # what the slots share, what is this one's own
        if best == NOT_A_NUMBER:
            return False
        if not is_given:
            chosen[slot] = draw(pmf[slot], uniform(key, slot))
        _take(tags, chosen[slot], left, taken)
    return True


@kernel(
    i64(
        f64_in, f32_in_3d, f32_in_2d, f32_in_2d, f64_in, boolean, f64, f64, bool_in, i16_in_2d, i64,
        i64, f64, u64, i64_out, f64_out, f64_out_2d,
    )
)  # fmt: skip  # one line of types for each group of arguments
def draw_slate(
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
    slots: int,
    floor: float,
    key: int,
    chosen: I64,
    propensity: F64,
    pmf: F64,
) -> int:
    """Fill the slots in order from the offers that are left; slot s uses the uniform number (key, s).

    Each slot is drawn from its `slot.slot_pmf`, with deviations relative to the best offer that is open to the slot (see worth).

    Args:
        value: (offers,) after shadow prices.
        whitened: (heads, rows, width) as in `worth.relative_deviations`, like the next four.
        eta: (heads, width).
        chance: (heads, width).
        worth: (heads,).
        is_logit: the link of the heads.
        spread: how much of the deviation is drawn by; with 0 the highest level wins.
        optimism: how many deviations are added to the value; above 0 only where spread is 0.
        mask: (offers,) True where the offer may be chosen; it is not changed.
        tags: (offers, n) tags of the offers, padded with -1.
        per_tag_max: at most so many slots go to one tag, as far as there are others; 0 is no such rule. Tags that more than half of
            the eligible offers carry tell no kinds apart and do not count.
        slots: how many are wanted.
        floor: as in `slot_pmf`, mixed in anew in every slot.
        key: of the decision.
        chosen: (slots,) out, offer per slot, -1 where none was left.
        propensity: (slots,) out, of that offer given the offers of the earlier slots, 0 where none was left. The
            propensity of the whole slate is the product over the filled slots.
        pmf: (slots, offers) out, what each slot was drawn from.

    Returns:
        The number of filled slots; -1 when a deviation is not a number: what was written then means nothing.
    """
    if not walk(
        value, whitened, eta, chance, worth, is_logit, spread, optimism, mask, tags, per_tag_max, floor, key, False,
        chosen[:slots], pmf,
    ):  # fmt: skip  # what it is drawn by, what is drawn
        return -1
    filled = 0
    for slot in range(slots):
        propensity[slot] = 0.0
        if chosen[slot] >= 0:
            propensity[slot] = pmf[slot, chosen[slot]]
            filled += 1
    return filled
