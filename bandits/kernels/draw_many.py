"""A slate and the gate for many people in one call: features, own part, scores, pmf, draw, gate, person by person.

Every step is the kernel that draws for one person (`featurize_known`, `posterior`, `score_offers`, `draw_slate`, `send_probability`), so that a
decision is the same bit for bit in whatever company it is made. docs/decisions/0012-drawn-together.md has the why.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    bool_in,
    boolean,
    f32_in,
    f32_in_2d,
    f32_in_3d,
    f32_out_2d,
    f32_out_3d,
    f32_out_4d,
    f64,
    f64_in,
    f64_in_2d,
    f64_out,
    f64_out_2d,
    i16_in_2d,
    i64,
    i64_in,
    i64_out,
    i64_out_2d,
    kernel,
    void,
)
from bandits.kernels.featurize import LATER, LP, SOON, featurize_known
from bandits.kernels.gate import send_probability
from bandits.kernels.many import F32, F64, I16, I64, Belief, Draws, Mask, People, Shelf, Terms, people_in
from bandits.kernels.packed import ARMS, padded
from bandits.kernels.personal import DIMS, columns, posterior
from bandits.kernels.random import FIRST_FREE_INDEX, uniform
from bandits.kernels.scoring import predict, score_offers
from bandits.kernels.slate import draw_slate
from bandits.kernels.tastes import entries_in, header_in, pushed_at
from bandits.kernels.worth import deviation

NOT_DRAWN: Final = -1
"""Instead of an offer, where a number was not finite or a person's sums have no posterior."""

BY_VALUE: Final = -1
EVENLY: Final = -2
"""What a person's offers are ranked by: their value, nothing at all, or a column of their features by its number."""


@kernel()
def _level(ranked_by: int, value: F64, phi: F32) -> F64:
    """What the offers are ranked by, (offers,)."""
    if ranked_by == BY_VALUE:
        return value
    level = np.zeros(value.shape[0])
    if ranked_by != EVENLY:
        for k in range(value.shape[0]):
            level[k] = float(phi[k, ranked_by])
    return level


@kernel()
def _gate(
    ranked_by: int,
    value: float,
    sd: float,
    spread: float,
    optimism: float,
    price: float,
    margin: float,
    is_nonnegative: bool,
) -> float:
    """The probability of sending; a policy that does not predict cannot weigh an offer against a price."""
    if ranked_by != BY_VALUE:
        return 1.0 - margin
    return float(send_probability(value + optimism * sd, spread * sd, price, margin, is_nonnegative))


@kernel()
def _picked(
    places: I64, tags: I16, may_be_personal: Mask, discounts: F32, of_people: F64, axes: F32
) -> tuple[I16, Mask, F32, F64, F32]:
    """The offers at these places alone: what removes the others need not be worked out for them."""
    return tags[places], may_be_personal[places], discounts[places], of_people[places], axes[places]


@kernel(counts=False)
def _tell(
    slate: I64, places: I64, phi: F32, own: F32, z: F32, chosen: I64, phi_of: F32, offset: F32, z_of: F32
) -> None:
    """Write what is told of the slots of one person."""
    for slot in range(slate.shape[0]):
        k = slate[slot]
        chosen[slot], offset[slot] = places[k], own[k]
        for j in range(phi.shape[1]):
            phi_of[slot, j] = phi[k, j]
        if z.shape[0] > 0:
            for j in range(z.shape[1]):
                z_of[slot, j] = z[k, j]


@kernel(counts=False)
def _hold(tags: I64, is_held: bool, in_basket: Mask) -> None:
    """What offers may carry of a basket is in it, or is taken out again."""
    for tag in tags:
        if 0 <= tag < in_basket.shape[0]:
            in_basket[tag] = is_held


@kernel(
    void(
        people_in, header_in, entries_in, i64_in, f32_in_2d, i64_in, i64_in,
        i16_in_2d, bool_in, f32_in, f64_in_2d, f32_in_2d, i16_in_2d, f32_in_2d, f32_in, i64,
        f32_in_2d, f32_in_3d, f64_in, boolean, i64, f64_in,
        f64, f64, f64, f64, f64, boolean, f64, f64, boolean, i64, i64,
        i64_out, i64_out_2d, f64_out_2d, f64_out_2d, f64_out, i64_out, f32_out_3d, f32_out_4d, f32_out_3d, f32_out_2d,
    )
)  # fmt: skip  # People, Shelf, Belief, Terms, Draws
def _draw_each(  # the fields of the five: Numba takes no read-only array in a tuple, and compiles calls that pass them for minutes
    people: NDArray[np.void], headers: NDArray[np.void], entries: NDArray[np.void], baskets: I64, sums: F32, eligible: I64,
    eligible_starts: I64,
    tags: I16, may_be_personal: Mask, discounts: F32, of_people: F64, axes: F32, companions: I16, lifts: F32, cycles_s: F32,
    tag_count: int,
    means: F32, factors: F32, worth: F64, is_logit: bool, own_head: int, precision: F64,
    now_s: float, ahead_s: float, floor: float, spread: float, optimism: float, is_gated: bool, price: float, margin: float,
    is_nonnegative: bool, slots: int, per_tag_max: int,
    filled: I64, chosen: I64, propensity: F64, pmf: F64, send: F64, is_sent: I64, phi_of: F32, predictions: F32, z_of: F32, offset: F32,
) -> None:  # fmt: skip  # a line or two for each
    (heads, dims), own_dims, has_layer = means.shape, DIMS, precision.shape[0] > 0
    nobody, no_prices, in_basket = np.zeros(0, np.bool_), np.zeros(0), np.zeros(tag_count, np.bool_)
    no_z, no_mean = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    mean, covariance = np.empty(own_dims, np.float32), np.empty((own_dims, own_dims), np.float32)
    choice, places, slate = -1, eligible[:0], np.empty(slots, np.int64)
    for i in range(chosen.shape[0]):
        filled[i], chosen[i, :] = 0, NOT_DRAWN
        one, header = people[i], headers[i : i + 1]
        is_by_value, has_own = one.ranked_by == BY_VALUE, has_layer and one.is_known
        if one.choice != choice:
            choice = one.choice
            places = eligible[eligible_starts[choice] : eligible_starts[choice + 1]]
            offers, width = len(places), padded(len(places), ARMS)
            on_tags, on_personal, on_discounts, on_people, on_axes = _picked(
                places, tags, may_be_personal, discounts, of_people, axes
            )
            nobody, all_open = np.zeros(offers, np.bool_), np.ones(offers, np.bool_)
            phi, value, own = np.empty((offers, dims), np.float32), np.empty(offers), np.empty(width, np.float32)
            z, of_slot = np.empty((offers, own_dims), np.float32), np.empty((slots, offers))
            eta, chance = np.empty((heads, width), np.float32), np.empty((heads, width), np.float32)
            psi_own = np.empty((heads, dims + own_dims, width), np.float32)
            psi_alone = np.empty((heads, dims, width), np.float32)
        basket = baskets[one.basket_from : one.basket_to]
        _hold(basket, True, in_basket)
        featurize_known(
            header, entries[one.entries_from : one.entries_to], on_tags, on_personal if one.is_known else nobody, on_discounts, on_people,
            companions, lifts, cycles_s, in_basket, now_s, ahead_s, one.hour, one.nearness, one.is_wet, phi,
        )  # fmt: skip  # arrays, then numbers
        _hold(basket, False, in_basket)
        if has_own:
            columns(phi, on_axes, on_personal, LP, SOON, LATER, z)
            if not posterior(sums[i], one.faded, precision, mean, covariance):
                continue
        psi = psi_own if has_own else psi_alone
        is_finite = score_offers(
            phi, means, factors, z if has_own else no_z, mean if has_own else no_mean, covariance if has_own else no_z,
            own_head, worth, no_prices, is_logit, eta, chance, psi, value, own,
        )  # fmt: skip  # what is read, what is written
        if not is_finite:
            continue
        wanted = min(slots, len(places))
        drawn = draw_slate(
            _level(one.ranked_by, value, phi), psi, eta, chance, worth, is_logit, spread if is_by_value else 0.0,
            optimism if is_by_value else 0.0, all_open, on_tags, per_tag_max, wanted, floor, one.key, slate, propensity[i], of_slot,
        )  # fmt: skip  # what it is drawn by, what is drawn
        if drawn < wanted or not predict(eta, psi, slate[:wanted], predictions[i, :wanted]):
            continue
        send[i] = 1.0
        if is_gated:
            sd = deviation(psi, chance, worth, is_logit, slate[0])
            dearer = price * (1.0 + pushed_at(header, now_s))
            send[i] = _gate(one.ranked_by, value[slate[0]], sd, spread, optimism, dearer, margin, is_nonnegative)
        if not 0.0 <= send[i] <= 1.0:
            continue
        filled[i] = wanted
        is_sent[i] = 1 if uniform(one.key, FIRST_FREE_INDEX) < send[i] else 0
        pmf[i, : len(places)] = of_slot[0]
        _tell(slate[:wanted], places, phi, own, z if has_own else no_z, chosen[i], phi_of[i], offset[i], z_of[i])


def draw_many(people: People, shelf: Shelf, belief: Belief, terms: Terms) -> Draws:
    """Draws for each of n people; lets go of the GIL."""
    count, slots = len(people.headers), terms.slots
    heads, dims = belief.means.shape
    choices = people.eligible_starts.tolist()
    widest = max([end - begin for begin, end in pairwise(choices)])
    out = Draws(
        np.empty(count, np.int64),
        np.empty((count, slots), np.int64),
        np.empty((count, slots)),
        np.empty((count, widest)),
        np.empty(count),
        np.empty(count, np.int64),
        np.empty((count, slots, dims), np.float32),
        np.empty((count, slots, heads, 2), np.float32),
        np.empty((count, slots, DIMS), np.float32),
        np.empty((count, slots), np.float32),
    )
    fields: tuple[Any, ...] = (*people, *shelf, *belief, *terms, *out)
    _draw_each(*fields)
    return out
