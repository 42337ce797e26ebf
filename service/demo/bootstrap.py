"""Ratios of two policies with intervals: a paired percentile bootstrap over households (Efron and Tibshirani 1993, ch. 13)."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.demo.world import Flags

RESAMPLES: Final = 2_000
_LEVEL: Final = 0.95
_BLOCK: Final = 250
"""Resamples drawn at a time: 5 MB for all households."""


Counts = Flags | NDArray[np.float64]


class Ratio(NamedTuple):
    """A ratio and the bounds of its 95 % interval; None where the divisor is nothing."""

    value: float | None
    low: float | None
    high: float | None


def ratio(ours: Counts, theirs: Counts, seed: int) -> Ratio:
    """How many times as many household-weeks are true in `ours` (H, W), or how many times as much it holds, as in `theirs`.

    Households are drawn with both together.
    """
    totals = np.stack([ours.sum(axis=1), theirs.sum(axis=1)], axis=1).astype(np.float64)
    resampled = _resampled(totals, seed)
    tail = (1 - _LEVEL) / 2
    # Whole resamples, not points between them: some may be infinite.
    low, high = np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf")
    return Ratio(*(_finite(number) for number in (_divided(totals.sum(axis=0)), low, high)))


def _resampled(totals: np.ndarray, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    households = len(totals)
    sums = []
    for _ in range(RESAMPLES // _BLOCK):
        chosen = draw.integers(0, households, (_BLOCK, households))
        sums.append(totals[chosen].sum(axis=1))
    return np.array([_divided(pair) for pair in np.concatenate(sums)])


def _divided(pair: np.ndarray) -> float:
    """A divisor of nothing makes the ratio boundless, which is what the upper bound then says."""
    return float(pair[0] / pair[1]) if pair[1] > 0 else float("inf")


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
