"""Whether something grows: the median of the slopes between all pairs of points (Theil and Sen), which no outlier moves."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

POINTS_MIN: Final = 8
POINTS_MAX: Final = 600
"""Beyond it every second, third, … point is left out: the pairs grow by the square."""


class Trend(NamedTuple):
    """`slope` by unit of x, and `growth`, what it comes to from the first point to the last."""

    slope: float
    growth: float


def trend(x: Sequence[float], y: Sequence[float]) -> Trend | None:
    """The trend of the second half of x; None when it has too few points to tell."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    if len(xs) < POINTS_MIN:
        return None
    late = xs >= (xs[0] + xs[-1]) / 2
    xs, ys = xs[late], ys[late]
    if len(xs) < POINTS_MIN or xs[-1] <= xs[0]:
        return None
    step = -(-len(xs) // POINTS_MAX)
    xs, ys = xs[::step], ys[::step]
    first, second = np.triu_indices(len(xs), 1)
    across = xs[second] - xs[first]
    slopes = (ys[second] - ys[first])[across > 0] / across[across > 0]
    slope = float(np.median(slopes))
    return Trend(slope, slope * float(xs[-1] - xs[0]))


def rise(values: Sequence[float]) -> float:
    """By how much the median of the last quarter lies above that of the second: what a pool holds comes and goes."""
    quarter = len(values) // 4
    if quarter == 0:
        return 0.0
    return float(np.median(values[-quarter:]) - np.median(values[quarter : 2 * quarter]))
