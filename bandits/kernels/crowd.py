"""Decisions for many users at once, features = user (x) offer, of which nothing is ever written out.

With phi = u (x) o the score's mean is (u' M) o and its variance o' B(u) o, where M is the posterior mean as a (user, offer)
matrix and B(u) = (u (x) I)' S (u (x) I) is linear in the products u_i u_j: contracting with the user first leaves a small
quadratic form for each offer. One user's result depends on that user alone, so alone or among many gives the same bits.
"""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    bool_in_2d,
    f32_in_2d,
    f32_out_2d,
    f64,
    f64_in_2d,
    f64_out,
    i64_out,
    kernel,
    u64_in,
    void,
)
from bandits.kernels.decide import ROOM, best_of, relative_pmf, room_of
from bandits.kernels.draw import draw
from bandits.kernels.lanes import WIDTH, fma, high, load, mul, repeat, root, splat, store, sub
from bandits.kernels.packed import ARMS
from bandits.kernels.random import uniform

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@kernel()
def _contract_pair(covariance: F64, i: int, j: int, do: int, out: F32) -> None:
    at = 0
    for m in range(do):
        for n in range(m, do):
            both = covariance[i * do + m, j * do + n]
            if i != j:
                both += covariance[j * do + m, i * do + n]
            if m != n:
                both += covariance[i * do + n, j * do + m]
            if i != j and m != n:
                both += covariance[j * do + n, i * do + m]
            out[at] = both
            at += 1


@kernel(void(f64_in_2d, f32_out_2d))
def contract(covariance: F64, table: F32) -> None:
    """Write what B(u) is made of: a row for each pair i <= j of the user's numbers, a column for each l <= m of the offer's.

    Args:
        covariance: (du * do, du * do), weight (i, l) at i * do + l.
        table: (du (du + 1) / 2, do (do + 1) / 2 or more) out; entries off a diagonal hold both halves.
    """
    pairs = table.shape[0]
    du = int((np.sqrt(8.0 * pairs + 1.0) - 1.0) / 2.0 + 0.5)
    do = covariance.shape[0] // du
    table[:, :] = 0.0
    row = 0
    for i in range(du):
        for j in range(i, du):
            _contract_pair(covariance, i, j, do, table[row])
            row += 1


@kernel()
def _contract_user(user: F32, weights: F32, table: F32, line: F32, form: F32) -> None:
    """Write line = u' M (do,) and form = B(u), its upper half, both padded; weights and table are flat."""
    for at in range(0, line.shape[0], WIDTH):
        total = splat(f32(0.0))
        for i in range(user.shape[0]):
            total = fma(repeat(user, i), load(weights, i * line.shape[0] + at), total)
        store(line, at, total)
    for at in range(0, form.shape[0], ARMS):
        a = splat(f32(0.0))
        b = splat(f32(0.0))
        row = at
        for i in range(user.shape[0]):
            for j in range(i, user.shape[0]):
                pair = splat(user[i] * user[j])
                a = fma(pair, load(table, row), a)
                b = fma(pair, load(table, row + WIDTH), b)
                row += form.shape[0]
        store(form, at, a)
        store(form, at + WIDTH, b)


@kernel()
def _means(line: F32, offers: F32, do: int, mean: F32) -> None:
    for k in range(0, mean.shape[0], WIDTH):
        total = splat(f32(0.0))
        for m in range(do):
            total = fma(repeat(line, m), load(offers, m * mean.shape[0] + k), total)
        store(mean, k, total)


@kernel()
def _shift_to(best: int, offers: F32, width: int, away: F32) -> None:
    for row in range(0, away.shape[0], width):
        origin = repeat(offers, row + best)
        for k in range(row, row + width, WIDTH):
            store(away, k, sub(load(offers, k), origin))


@kernel()
def _sds(form: F32, away: F32, do: int, scale: np.float32, sd: F32) -> None:
    """Deviations of the differences to the best offer: the quadratic form of o_k - o_best."""
    width = sd.shape[0]
    for k in range(0, width, WIDTH):
        total = splat(f32(0.0))
        at = 0
        for m in range(do):
            inner = splat(f32(0.0))
            for n in range(m, do):
                inner = fma(repeat(form, at), load(away, n * width + k), inner)
                at += 1
            total = fma(load(away, m * width + k), inner, total)
        store(sd, k, mul(splat(scale), root(high(total, splat(f32(0.0))))))


@kernel(void(f32_in_2d, f32_in_2d, f32_in_2d, f32_in_2d, bool_in_2d, f64, f64, u64_in, f32_out_2d, i64_out, f64_out))
def decide_crowd(
    users: F32,
    weights: F32,
    table: F32,
    offers: F32,
    mask: Mask,
    scale: float,
    floor: float,
    keys: NDArray[np.uint64],
    pmf: F32,
    chosen: NDArray[np.int64],
    propensity: F64,
) -> None:
    """Draw an arm for each user by Thompson's pmf relative to that user's best offer.

    Args:
        users: (n, du) finite features.
        weights: (du, do) posterior mean M, columns padded to eights with zeros.
        table: see `contract`, columns padded to sixteens.
        offers: (do, arms) finite features, arms padded to eights.
        mask: (n, arms) True where the arm is eligible.
        scale: of the standard deviations.
        floor: epsilon, spread evenly over a user's eligible arms.
        keys: (n,) of the decisions; each uses the uniform number (key, 0).
        pmf: (n, arms) out, or (0, 0) to leave it out.
        chosen: (n,) out, -1 where no arm is eligible.
        propensity: (n,) out, what the arm was drawn with.
    """
    arms = mask.shape[1]
    do, width = offers.shape
    # Views made inside the loops would be counted up and down, which costs more than the arithmetic.
    flat_weights, flat_table, flat_offers = weights.ravel(), table.ravel(), offers.ravel()
    line, form = np.empty(weights.shape[1], np.float32), np.empty(table.shape[1], np.float32)
    mean, sd = np.empty(width, np.float32), np.empty(width, np.float32)
    away, p = np.empty(do * width, np.float32), np.empty(arms)
    room = room_of(width, np.empty(ROOM * width, np.float32))
    for user in range(users.shape[0]):
        _contract_user(users[user], flat_weights, flat_table, line, form)
        _means(line, flat_offers, do, mean)
        best = best_of(mean, mask[user])
        p[:] = 0.0
        if best >= 0:
            _shift_to(best, flat_offers, width, away)
            _sds(form, away, do, f32(scale), sd)
            relative_pmf(mean, sd, mask[user], best, floor, room, p)
        arm = draw(p, uniform(keys[user], 0))
        chosen[user] = arm
        propensity[user] = p[arm] if arm >= 0 else 0.0
        if pmf.shape[0] > 0:
            for k in range(arms):
                pmf[user, k] = p[k]
