"""Scores of the shared model from a posterior packed for it: float32, half the covariance, arms side by side in lanes.

A packed posterior is the mean, padded with zeros to a multiple of eight, and then for every four rows i, i + 1, ... of the
covariance the columns from i on, row after row; what lies off the diagonal tile is stored doubled, so that

    x' S x = sum over i of x_i * (sum over j >= i of S'_ij x_j)

costs half the products. Its *tiles* are the same numbers in the same places in float64, nothing doubled: rows are learned
in them (`rank_one`). A posterior of more weights than an arm has features is scored as if the features were 0.
Candidates are transposed first: one register holds a feature of eight arms.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f32_out, f64_in, f64_in_2d, f64_out, f64_out_2d, i64, kernel, void
from bandits.kernels.lanes import WIDTH, fma, high, load, mul, repeat, root, splat, store, sub, turn

f32 = np.float32
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

ROWS: Final = 4
ARMS: Final = 2 * WIDTH  # scored at once: four rows times two registers of arms are eight sums in registers


@kernel(i64(i64, i64))
def padded(count: int, width: int) -> int:
    """The next multiple of width."""
    return -(-count // width) * width


def packed_size(dims: int) -> int:
    """How many numbers a packed posterior of so many features has."""
    whole = padded(dims, WIDTH)
    return whole + sum(ROWS * (whole - i) for i in range(0, whole, ROWS))


@kernel(i64(i64))
def held(size: int) -> int:
    """How many weights, with the padding, a packed posterior of so many numbers has; `packed_size` is the way back."""
    return int(math.sqrt(9.0 + 2.0 * size) - 2.5)


@kernel()
def _narrow(tiles: F64, packed: F32) -> None:
    """Write what is scored with from the tiles."""
    whole = held(tiles.shape[0])
    for k in range(whole):
        packed[k] = tiles[k]
    for k in range(whole, tiles.shape[0]):
        packed[k] = 2.0 * tiles[k]
    at = whole
    for i in range(whole):
        for j in range(ROWS):
            packed[at + j] = tiles[at + j]
        at += whole - (i - i % ROWS)


@kernel(void(f64_in, f64_in_2d, f64_out, f32_out))
def pack_posterior(mean: F64, covariance: F64, tiles: F64, packed: F32) -> None:
    """Write the tiles and the packed posterior.

    Args:
        mean: (d,).
        covariance: (d, d) symmetric.
        tiles: (packed_size(d),) out.
        packed: (packed_size(d),) out.
    """
    dims = mean.shape[0]
    whole = held(tiles.shape[0])
    tiles[:] = 0.0
    tiles[:dims] = mean
    at = whole
    for i in range(whole):
        first = i - i % ROWS
        if i < dims:
            tiles[at : at + dims - first] = covariance[i, first:]
        at += whole - first
    _narrow(tiles, packed)


@kernel(void(f64_in, f64_out_2d))
def unpack_covariance(tiles: F64, covariance: F64) -> None:
    """Write both triangles of the covariance (d, d) from the tiles."""
    dims = covariance.shape[0]
    whole = held(tiles.shape[0])
    at = whole
    for i in range(dims):
        first = i - i % ROWS
        for j in range(i, dims):
            covariance[i, j] = tiles[at + j - first]
            covariance[j, i] = tiles[at + j - first]
        at += whole - first


@kernel(counts=False)
def transpose(phi: F32, out: F32, width: int) -> None:
    """Write phi (arms, d) into out: feature j of arm k at j * width + k, in whole tiles where there are such.

    What is beyond the arms and the features is left as it is.
    """
    arms, dims = phi.shape
    flat = phi.reshape(arms * dims)
    whole_arms = arms - arms % WIDTH
    whole_dims = dims - dims % WIDTH
    for k in range(0, whole_arms, WIDTH):
        for j in range(0, whole_dims, WIDTH):
            turn(flat, k * dims + j, dims, out, j * width + k, width)
        for j in range(whole_dims, dims):
            for arm in range(k, k + WIDTH):
                out[j * width + arm] = phi[arm, j]
    for arm in range(whole_arms, arms):
        for j in range(dims):
            out[j * width + arm] = phi[arm, j]


@kernel(counts=False)
def means(packed: F32, x: F32, dims: int, width: int, out: F32) -> None:
    """Write the mean score of each arm (width,); x is transposed."""
    for k in range(0, width, ARMS):
        a = splat(f32(0.0))
        b = splat(f32(0.0))
        for j in range(dims):
            m = repeat(packed, j)
            a = fma(m, load(x, j * width + k), a)
            b = fma(m, load(x, j * width + k + WIDTH), b)
        store(out, k, a)
        store(out, k + WIDTH, b)


@kernel(counts=False)
def shift_to(arm: int, x: F32, dims: int, width: int) -> None:
    """Subtract the features of one arm from those of all."""
    for j in range(dims):
        origin = repeat(x, j * width + arm)
        for k in range(0, width, WIDTH):
            store(x, j * width + k, sub(load(x, j * width + k), origin))


@kernel(counts=False)
def sds(packed: F32, x: F32, whole: int, width: int, scale: np.float32, out: F32) -> None:
    """Write scale times the standard deviation of each arm's score (width,); `whole` features with the padding."""
    for k in range(0, width, ARMS):
        a = splat(f32(0.0))
        b = splat(f32(0.0))
        at = whole
        for i in range(0, whole, ROWS):
            a0 = splat(f32(0.0))
            b0 = a0
            a1 = a0
            b1 = a0
            a2 = a0
            b2 = a0
            a3 = a0
            b3 = a0
            columns = whole - i
            for j in range(columns):
                left = load(x, (i + j) * width + k)
                right = load(x, (i + j) * width + k + WIDTH)
                s = repeat(packed, at + j)
                a0 = fma(s, left, a0)
                b0 = fma(s, right, b0)
                s = repeat(packed, at + columns + j)
                a1 = fma(s, left, a1)
                b1 = fma(s, right, b1)
                s = repeat(packed, at + 2 * columns + j)
                a2 = fma(s, left, a2)
                b2 = fma(s, right, b2)
                s = repeat(packed, at + 3 * columns + j)
                a3 = fma(s, left, a3)
                b3 = fma(s, right, b3)
            at += ROWS * columns
            row = i * width + k
            a = fma(load(x, row), a0, a)
            b = fma(load(x, row + WIDTH), b0, b)
            row += width
            a = fma(load(x, row), a1, a)
            b = fma(load(x, row + WIDTH), b1, b)
            row += width
            a = fma(load(x, row), a2, a)
            b = fma(load(x, row + WIDTH), b2, b)
            row += width
            a = fma(load(x, row), a3, a)
            b = fma(load(x, row + WIDTH), b3, b)
        nothing = splat(f32(0.0))
        store(out, k, mul(splat(scale), root(high(a, nothing))))
        store(out, k + WIDTH, mul(splat(scale), root(high(b, nothing))))
