"""Studentised bootstrap intervals of any number of estimates, from the same resamples.

A resample draws as many rows with replacement. Of each, t* = (V* - V) / se*, with the standard error of a ratio by the delta
method; the interval is [V - t*_high se, V - t*_low se] (Efron & Tibshirani 1993, section 12.5). Against the percentile interval it
follows the skew of weighted rewards: see docs/evaluation.md for the coverage measured.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from bandits.evaluation.estimate import F64, Estimate, Interval

RESAMPLES: Final = 1_000
_BLOCK_CELLS: Final = 2_000_000
_TOLD_MIN: Final = 0.5
"""Least share of resamples in which anything carries weight."""


def intervals(
    estimates: Sequence[Estimate], confidence: float = 0.95, *, seed: int = 0, resamples: int = RESAMPLES
) -> list[Interval]:
    """One interval for each estimate; all have the same number of rows.

    A side is infinite when too many resamples have no variance left to tell it, as with two or three rewards in all.
    """
    moments = np.concatenate([_moments(estimate) for estimate in estimates], axis=1)
    sums = _resampled(moments, resamples, seed).reshape(resamples, len(estimates), 5)
    values, errors = _ratios(sums)
    _, own_errors = _ratios(moments.sum(axis=0).reshape(len(estimates), 5))
    return [
        _interval(estimate.value, float(own_errors[at]), values[:, at], errors[:, at], confidence)
        for at, estimate in enumerate(estimates)
    ]


def _moments(estimate: Estimate) -> F64:
    """(n, 5): c, d, c c, c d and d d of each row, with d the normaliser and c the contribution less V d."""
    value = estimate.value
    top = estimate.contributions - (value if np.isfinite(value) else 0.0) * estimate.normaliser
    bottom = estimate.normaliser
    return np.stack([top, bottom, top * top, top * bottom, bottom * bottom], axis=1)


def _resampled(moments: F64, resamples: int, seed: int) -> F64:
    """(resamples, columns): sums over rows drawn with replacement."""
    rng, rows = np.random.default_rng(seed), len(moments)
    sums = np.empty((resamples, moments.shape[1]))
    step = max(1, _BLOCK_CELLS // rows)
    for start in range(0, resamples, step):
        block = min(step, resamples - start)
        drawn = rng.integers(0, rows, (block, rows)) + rows * np.arange(block)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=block * rows).reshape(block, rows)
        sums[start : start + block] = counts.astype(np.float64) @ moments
    return sums


def _ratios(sums: F64) -> tuple[F64, F64]:
    """Each ratio's deviation from V and its standard error, from sums (…, 5)."""
    top, bottom, tops, cross, bottoms = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = top / bottom
        left = tops - 2.0 * value * cross + value * value * bottoms
        rounding = 1e-12 * (tops + value * value * bottoms)
        error = np.sqrt(np.where(left > rounding, left, 0.0)) / bottom
    return value, error


def _interval(value: float, error: float, values: F64, errors: F64, confidence: float) -> Interval:
    """From the resamples' deviations of the value and their standard errors, (resamples,)."""
    told = np.isfinite(values)
    if not np.isfinite(value) or told.mean() < _TOLD_MIN:
        return Interval(-np.inf, np.inf)
    if error == 0.0:
        return Interval(value, value)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.where(values[told] == 0.0, 0.0, values[told] / errors[told])
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(deviations, [tail, 1.0 - tail], method="inverted_cdf")
    return Interval(value - float(high) * error, value - float(low) * error)
