"""The 95 % interval of a mean of a few seeds."""

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from scipy.stats import t

TWO_SIDED = 0.975


class Interval(NamedTuple):
    """A mean and its interval."""

    value: float
    low: float
    high: float


def of_mean(numbers: Sequence[float]) -> Interval:
    """By Student's t of as many degrees of freedom as there are numbers less one; of one number nothing is known: ± infinity."""
    value = fmean(numbers)
    if len(numbers) == 1:
        return Interval(value, -float("inf"), float("inf"))
    around = float(t.ppf(TWO_SIDED, len(numbers) - 1)) * stdev(numbers) / sqrt(len(numbers))
    return Interval(value, value - around, value + around)
