"""What an estimator gives: contributions of rows, from which value and any interval follow."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Bounds(NamedTuple):
    """What is known before any row is seen: the largest weight possible, and the range of rewards."""

    weight_max: float
    reward_low: float
    reward_high: float

    @property
    def reward_span(self) -> float:
        """Width of the range of rewards."""
        return self.reward_high - self.reward_low


class Interval(NamedTuple):
    """A confidence interval; infinite where the rows say nothing about that side."""

    low: float
    high: float


class Estimate(NamedTuple):
    """value = sum of contributions (n,) / sum of normaliser (n,).

    The normaliser is one a row for a plain mean and the weight for a self-normalised one. span bounds the range of
    contribution - V normaliser over all rows possible, for V within the range of rewards.
    """

    contributions: F64
    normaliser: F64
    span: float

    @property
    def value(self) -> float:
        """The estimated mean reward of a row; NaN when nothing carries weight."""
        total = float(self.normaliser.sum())
        return float(self.contributions.sum()) / total if total > 0.0 else float("nan")


def plain(contributions: F64, span: float) -> Estimate:
    """The mean of the contributions."""
    return Estimate(contributions, np.ones(len(contributions)), span)


def clustered(estimate: Estimate, cluster: I64) -> Estimate:
    """The same value from the sums of clusters (rows that are not independent); cluster (n,) numbers them from 0."""
    longest = int(np.bincount(cluster).max())
    return Estimate(
        summed(estimate.contributions, cluster), summed(estimate.normaliser, cluster), estimate.span * longest
    )


def summed(values: F64, cluster: I64) -> F64:
    """The sum of the values (n,) of each cluster."""
    sums: F64 = np.bincount(cluster, values).astype(np.float64)
    return sums
