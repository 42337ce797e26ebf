"""One offer and the gate for many people in one call: features, own part, scores, pmf, draw, gate, person by person.

Every step is the kernel that draws for one person (`featurize_known`, `posterior`, `score_offers`, `draw_slate`, `send_probability`), so that a
decision is the same bit for bit in whatever company it is made. docs/decisions/0012-drawn-together.md has the why.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    bool_in,
    bool_in_2d,
    boolean,
    f32_in,
    f32_in_2d,
    f32_in_3d,
    f32_out,
    f32_out_2d,
    f32_out_3d,
    f64,
    f64_in,
    f64_in_2d,
    f64_out,
    f64_out_2d,
    i16_in_2d,
    i64,
    i64_in,
    i64_out,
    kernel,
    u64_in,
    void,
)
from bandits.kernels.featurize import LATER, LP, SOON, featurize_known
from bandits.kernels.gate import send_probability
from bandits.kernels.many import F32, F64, I16, I64, Belief, Draws, Mask, People, Shelf, Terms
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


@kernel(
    void(
        header_in, entries_in, i64_in, bool_in, f64_in, i64_in, u64_in, i64_in, bool_in_2d, f32_in_2d, f64_in,
        i16_in_2d, bool_in, f32_in, f64_in_2d, f32_in_2d, i16_in_2d, f32_in_2d, f32_in, bool_in,
        f32_in_2d, f32_in_3d, f64_in, boolean, i64, f64_in,
        f64, f64, f64, f64, f64, boolean, f64, f64, boolean,
        i64_out, f64_out, f64_out, i64_out, f64_out_2d, f32_out_2d, f32_out_3d, f32_out_2d, f32_out,
    )
)  # fmt: skip  # People, Shelf, Belief, Terms, Draws
def _draw_each(  # the fields of the five: Numba takes no read-only array in a tuple, and compiles calls that pass them for minutes
    headers: NDArray[np.void], entries: NDArray[np.void], starts: I64, is_known: Mask, hours: F64, ranked_by: I64,
    keys: NDArray[np.uint64], mask_of: I64, masks: Mask, sums: F32, faded: F64,
    tags: I16, may_be_personal: Mask, discounts: F32, of_people: F64, axes: F32, companions: I16, lifts: F32, cycles_s: F32,
    nothing_held: Mask,
    means: F32, factors: F32, worth: F64, is_logit: bool, own_head: int, precision: F64,
    now_s: float, ahead_s: float, floor: float, spread: float, optimism: float, is_gated: bool, price: float, margin: float,
    is_nonnegative: bool,
    chosen: I64, propensity: F64, send: F64, is_sent: I64, pmf: F64, phi_of: F32, predictions: F32, z_of: F32, offset: F32,
) -> None:  # fmt: skip  # a line or two for each
    offers, (heads, dims), own_dims = tags.shape[0], means.shape, DIMS
    width, has_layer = padded(offers, ARMS), precision.shape[0] > 0
    nobody, no_prices = np.zeros(offers, np.bool_), np.zeros(0)
    no_z, no_mean = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
    phi, value, own = np.empty((offers, dims), np.float32), np.empty(offers), np.empty(width, np.float32)
    z, mean = np.empty((offers, own_dims), np.float32), np.empty(own_dims, np.float32)
    covariance = np.empty((own_dims, own_dims), np.float32)
    eta, chance = np.empty((heads, width), np.float32), np.empty((heads, width), np.float32)
    psi_own = np.empty((heads, dims + own_dims, width), np.float32)
    psi_alone = np.empty((heads, dims, width), np.float32)
    offer, predicted = np.empty(1, np.int64), np.empty((1, heads, 2), np.float32)
    for i in range(chosen.shape[0]):
        chosen[i] = NOT_DRAWN
        is_by_value, has_own, header = ranked_by[i] == BY_VALUE, has_layer and is_known[i], headers[i : i + 1]
        featurize_known(
            header, entries[starts[i] : starts[i + 1]], tags, may_be_personal if is_known[i] else nobody, discounts, of_people,
            companions, lifts, cycles_s, nothing_held, now_s, ahead_s, hours[i], 0.0, False, phi,
        )  # fmt: skip  # arrays, then numbers
        if has_own:
            columns(phi, axes, may_be_personal, LP, SOON, LATER, z)
            if not posterior(sums[i], faded[i], precision, mean, covariance):
                continue
        psi = psi_own if has_own else psi_alone
        is_finite = score_offers(
            phi, means, factors, z if has_own else no_z, mean if has_own else no_mean, covariance if has_own else no_z,
            own_head, worth, no_prices, is_logit, eta, chance, psi, value, own,
        )  # fmt: skip  # what is read, what is written
        if not is_finite:
            continue
        filled = draw_slate(
            _level(ranked_by[i], value, phi), psi, eta, chance, worth, is_logit, spread if is_by_value else 0.0,
            optimism if is_by_value else 0.0, masks[mask_of[i]], tags, 0, 1, floor, keys[i],
            offer, propensity[i : i + 1], pmf[i : i + 1],
        )  # fmt: skip  # what it is drawn by, what is drawn
        if filled < 1 or not predict(eta, psi, offer, predicted):
            continue
        k = offer[0]
        send[i] = 1.0
        if is_gated:
            sd = deviation(psi, chance, worth, is_logit, k)
            dearer = price * (1.0 + pushed_at(header, now_s))
            send[i] = _gate(ranked_by[i], value[k], sd, spread, optimism, dearer, margin, is_nonnegative)
        if 0.0 <= send[i] <= 1.0:
            chosen[i], is_sent[i] = k, 1 if uniform(keys[i], FIRST_FREE_INDEX) < send[i] else 0
            phi_of[i], predictions[i], offset[i] = phi[k], predicted[0], own[k]
            if has_own:
                z_of[i] = z[k]


def draw_many(people: People, shelf: Shelf, belief: Belief, terms: Terms) -> Draws:
    """Draws for each of n people; lets go of the GIL."""
    count, offers = len(people.headers), len(shelf.tags)
    heads, dims = belief.means.shape
    out = Draws(
        np.empty(count, np.int64),
        np.empty(count),
        np.empty(count),
        np.empty(count, np.int64),
        np.empty((count, offers)),
        np.empty((count, dims), np.float32),
        np.empty((count, heads, 2), np.float32),
        np.empty((count, DIMS), np.float32),
        np.empty(count, np.float32),
    )
    fields: tuple[Any, ...] = (*people, *shelf, *belief, *terms, *out)
    _draw_each(*fields)
    return out
