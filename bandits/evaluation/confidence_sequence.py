"""Bounds of a mean that hold at every moment at once, so that one may look, and stop, at any time.

For values x_i within a range of width c, mu_i their means given all that came before, x^_i a forecast made before x_i, and
V = sum of (x_i - x^_i)^2, every 0 <= l < 1/c makes

    exp(l sum(x_i - mu_i) - psi(l) V),    psi(l) = (-log(1 - c l) - c l) / c^2

a supermartingale (Howard, Ramdas, McAuliffe & Sekhon 2021, Time-uniform, nonparametric, nonasymptotic confidence sequences,
theorem 4), and so is any mixture of such over a fixed grid of l. By Ville's inequality it ever reaches 1/a with probability at most a.
The bound is where the mixture reaches it, on both sides with half of 1 - confidence. It holds for the running mean of the mu_i, also
when they drift, and whatever decides when to look.
"""

from math import log
from typing import Final

import numpy as np
import numpy.typing as npt

from bandits.evaluation.estimate import F64

RATES: Final = 0.95 * 2.0 ** (-0.5 * np.arange(40))
"""The grid of l, in units of 1/c: the last is right for a V of 1e12."""

_LOG_SHARES: Final = -np.log1p((np.log(RATES / 0.03) / 1.5) ** 2)
_LOG_WEIGHTS: Final = _LOG_SHARES - np.log(np.exp(_LOG_SHARES).sum())
"""Weights of the mixture: most where V is 1e2 to 1e6, where a lift of some per cent shows, and little lost elsewhere."""

_PSI: Final = -np.log1p(-RATES) - RATES
_NEWTON_STEPS: Final = 5


class ConfidenceSequence:
    """Running bounds of values within [low, high]; one stream, or an array of streams of that shape that get equally many values.

    The state is three numbers a stream: count, total and variation, in units of the range from low.
    """

    __slots__ = ("_tail", "count", "high", "low", "total", "variation")

    def __init__(self, low: float, high: float, confidence: float = 0.95, streams: tuple[int, ...] = ()) -> None:
        """Nothing has come yet; `streams` is the shape of the array of streams.

        Raises:
            ValueError: low and high are no range, or the confidence is not between 0 and 1.
        """
        if not (np.isfinite(low) and np.isfinite(high) and low < high and 0.0 < confidence < 1.0):
            raise ValueError(f"no range or no confidence: {low:g} to {high:g} at {confidence:g}")
        self.low, self.high = low, high
        self._tail = (1.0 - confidence) / 2.0
        self.count = 0
        self.total: F64 = np.zeros(streams)
        self.variation: F64 = np.zeros(streams)

    def add(self, values: npt.ArrayLike) -> None:
        """More values, (..., block) in the order in which they came; a block at once is the same as one by one.

        Raises:
            ValueError: a value outside the range (which would void the promise), or another shape of streams.
        """
        block = np.asarray(values, np.float64)
        if block.ndim == 0 or block.shape[:-1] != self.total.shape:
            raise ValueError(f"values of shape {block.shape} for streams of shape {self.total.shape}")
        scaled: F64 = (block - self.low) / (self.high - self.low)
        if not ((scaled >= 0.0) & (scaled <= 1.0)).all():
            raise ValueError(f"a value is outside {self.low:g} to {self.high:g}")
        totals = self.total[..., None] + np.cumsum(scaled, axis=-1)
        seen = self.count + np.arange(block.shape[-1])
        forecast = (totals - scaled + 0.5) / (seen + 1.0)  # the mean so far, and one value in the middle
        self.variation = self.variation + ((scaled - forecast) ** 2).sum(axis=-1)
        self.total = self.total + scaled.sum(axis=-1)
        self.count += block.shape[-1]

    def mean(self) -> F64:
        """The mean so far of each stream; the middle of the range before any value."""
        scaled = self.total / self.count if self.count else np.full_like(self.total, 0.5)
        return self.low + (self.high - self.low) * scaled

    def bounds(self) -> tuple[F64, F64]:
        """Lower and upper bound of each stream's mean, as of now."""
        if not self.count:
            return np.full_like(self.total, self.low), np.full_like(self.total, self.high)
        mean = self.mean()
        reach = (self.high - self.low) * boundary(self.variation, self._tail) / self.count
        return np.maximum(mean - reach, self.low), np.minimum(mean + reach, self.high)


def boundary(variation: F64, tail: float) -> F64:
    """How far a sum may ever be above its mean, but with probability tail, when its variation is this; both in units of the range.

    Solves log sum_k weight_k exp(l_k s - psi_k V) = log(1/tail) for s. The left side is convex and rises, so that Newton's steps from
    above never pass below the solution: each is a valid bound.
    """
    v = variation[..., None]
    needed = log(1.0 / tail)
    above: F64 = ((needed - _LOG_WEIGHTS + _PSI * v) / RATES).min(axis=-1)
    for _ in range(_NEWTON_STEPS):
        exponents = _LOG_WEIGHTS + RATES * above[..., None] - _PSI * v
        top = exponents.max(axis=-1, keepdims=True)
        terms = np.exp(exponents - top)
        total = terms.sum(axis=-1)
        excess = np.log(total) + top[..., 0] - needed
        above = above - np.maximum(excess, 0.0) * total / (terms * RATES).sum(axis=-1)
    return above
