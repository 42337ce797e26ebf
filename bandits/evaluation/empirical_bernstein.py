"""Empirical-Bernstein intervals: valid at any number of rows, from the known range alone, and so wide.

For n values within a range of width b, with probability 1 - a the mean lies within
    sqrt(2 V log(4/a) / n) + 7 b log(4/a) / (3 (n - 1))
of the average, V the sample variance (Maurer & Pontil 2009, Empirical Bernstein bounds, theorem 4, on both sides).
"""

from math import log, sqrt

import numpy as np

from bandits.evaluation.estimate import Estimate, Interval

_DOUBLINGS, _HALVINGS = 20, 60


def half_width(variance: float, span: float, rows: int, confidence: float) -> float:
    """How far the mean of values within a range of width span may be from their average; variance with n - 1."""
    if rows < 2:
        return float("inf")
    tail = log(4.0 / (1.0 - confidence))
    return sqrt(2.0 * max(variance, 0.0) * tail / rows) + 7.0 * span * tail / (3.0 * (rows - 1))


def interval(estimate: Estimate, confidence: float = 0.95) -> Interval:
    """All values V for which the mean of contribution - V normaliser may be zero.

    For a plain mean that is the average +- half_width; for a self-normalised one the same statement about E[w (r - V)] = 0.
    Infinite where the rows exclude nothing.
    """
    top, bottom = estimate.contributions, estimate.normaliser
    value, rows = estimate.value, len(top)
    if not np.isfinite(value):
        return Interval(-np.inf, np.inf)
    if (bottom == bottom[0]).all():
        width = half_width(float(top.var(ddof=1)), estimate.span, rows, confidence) / float(bottom[0])
        return Interval(value - width, value + width)
    return Interval(value - _shift(estimate, -1.0, confidence), value + _shift(estimate, 1.0, confidence))


def _shift(estimate: Estimate, sign: float, confidence: float) -> float:
    """How far V may move in the direction of sign, by doubling and bisection."""
    bottom, rows = estimate.normaliser, len(estimate.normaliser)
    spread = np.cov(estimate.contributions - estimate.value * bottom, bottom)
    mean = float(bottom.mean())

    def is_possible(shift: float) -> bool:
        variance = float(spread[0, 0] - 2.0 * sign * shift * spread[0, 1] + shift * shift * spread[1, 1])
        return shift * mean <= half_width(variance, estimate.span, rows, confidence)

    inside, outside = 0.0, estimate.span
    for _ in range(_DOUBLINGS):
        if not is_possible(outside):
            break
        inside, outside = outside, 2.0 * outside
    else:
        return float("inf")
    for _ in range(_HALVINGS):
        middle = 0.5 * (inside + outside)
        inside, outside = (middle, outside) if is_possible(middle) else (inside, middle)
    return outside
