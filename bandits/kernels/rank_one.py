"""One more row in a Gaussian over the weights: the Sherman-Morrison step, in place on half of the covariance."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import boolean, f32_in, f32_out, f64, f64_in, f64_out, kernel, void
from bandits.kernels.logistic import mean_and_slope
from bandits.kernels.packed import ROWS, held
from bandits.kernels.quads import FOUR, fma4, load4, mul4, narrow4, repeat4, splat4, store4, total4

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@kernel()
def _times_four_rows(tiles: F64, at: int, i: int, x: F64, spread: F64) -> None:
    """Add what rows i to i + 3 and the columns below them give of S x; the tile begins at place `at`."""
    columns = x.shape[0] - i
    b_at, c_at, e_at = at + columns, at + 2 * columns, at + 3 * columns
    y = load4(x, i)
    a, b = mul4(load4(tiles, at), y), mul4(load4(tiles, b_at), y)
    c, e = mul4(load4(tiles, c_at), y), mul4(load4(tiles, e_at), y)
    x_a, x_b, x_c, x_e = repeat4(x, i), repeat4(x, i + 1), repeat4(x, i + 2), repeat4(x, i + 3)
    for j in range(FOUR, columns, FOUR):
        y = load4(x, i + j)
        s_a, s_b, s_c, s_e = (
            load4(tiles, at + j),
            load4(tiles, b_at + j),
            load4(tiles, c_at + j),
            load4(tiles, e_at + j),
        )
        a, b, c, e = fma4(s_a, y, a), fma4(s_b, y, b), fma4(s_c, y, c), fma4(s_e, y, e)
        below = fma4(x_a, s_a, fma4(x_b, s_b, fma4(x_c, s_c, fma4(x_e, s_e, load4(spread, i + j)))))
        store4(spread, i + j, below)
    spread[i] += total4(a)
    spread[i + 1] += total4(b)
    spread[i + 2] += total4(c)
    spread[i + 3] += total4(e)


@kernel()
def _along(x: F64, y: F64) -> float:
    total = splat4(0.0)
    for j in range(0, x.shape[0], FOUR):
        total = fma4(load4(x, j), load4(y, j), total)
    return float(total4(total))


@kernel()
def _move(spread: F64, factor: float, tiles: F64, packed: F32) -> None:
    """Add factor * spread to the mean."""
    scale = splat4(factor)
    for j in range(0, spread.shape[0], FOUR):
        moved = fma4(scale, load4(spread, j), load4(tiles, j))
        store4(tiles, j, moved)
        narrow4(packed, j, moved)


@kernel()
def _add_to_row(spread: F64, first: int, factor: float, tiles: F64, at: int, packed: F32) -> None:
    """Add factor * spread to one row of a tile, from column `first` on."""
    scale, twice = splat4(factor), splat4(2.0)
    added = fma4(scale, load4(spread, first), load4(tiles, at))
    store4(tiles, at, added)
    narrow4(packed, at, added)
    for j in range(FOUR, spread.shape[0] - first, FOUR):
        added = fma4(scale, load4(spread, first + j), load4(tiles, at + j))
        store4(tiles, at + j, added)
        narrow4(packed, at + j, mul4(twice, added))


@kernel(void(f64_out, f32_out, f32_in, f64, f64))
def absorb(tiles: F64, packed: F32, row: F32, weight: float, response: float) -> None:
    """N(mean, S) becomes the posterior after the precision weight * x x' and the information response * x were added.

    S - weight S x x' S / (1 + weight x' S x), and the mean moves by S x (response - weight x'm) / (1 + weight x' S x).

    Args:
        tiles: of the posterior, see bandits.kernels.packed, in place.
        packed: the same posterior as it is scored with, in place: the next decision knows the row.
        row: (d,) x.
        weight: not negative.
        response: weight times the observed score, where that is a number.
    """
    whole = held(tiles.shape[0])
    scratch = np.zeros(2 * whole)
    x, spread = scratch[:whole], scratch[whole:]
    x[: row.shape[0]] = row
    at = whole
    for i in range(0, whole, ROWS):
        _times_four_rows(tiles, at, i, x, spread)
        at += ROWS * (whole - i)
    damping = 1.0 / (1.0 + weight * _along(spread, x))
    _move(spread, (response - weight * _along(x, tiles)) * damping, tiles, packed)
    at = whole
    for i in range(whole):
        first = i - i % ROWS
        _add_to_row(spread, first, -weight * damping * spread[i], tiles, at, packed)
        at += whole - first


@kernel(lanes=True)
def _eta(row: F32, mode: F64) -> float:
    total = 0.0
    for j in range(row.shape[0]):
        total += row[j] * mode[j]
    return total


@kernel(f64(boolean, f64_in, f32_in, f64, f64_out, f32_out))
def learn_row(is_logit: bool, mode: F64, row: F32, reward: float, tiles: F64, packed: F32) -> float:
    """One row and its reward, linearised at the mode, into the posterior by `absorb`.

    Args:
        is_logit: the link; else the identity.
        mode: (d,) the weights linearised at.
        row: (d,) features.
        reward: 0 to 1 for the logit.
        tiles: as in `absorb`.
        packed: as in `absorb`.

    Returns:
        row . mode, with which the caller has the row's curvature and response for its sums.
    """
    eta = _eta(row, mode)
    mean, slope = mean_and_slope(is_logit, eta)
    absorb(tiles, packed, row, slope, reward - mean + slope * eta)
    return eta
