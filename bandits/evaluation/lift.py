"""Lift of the treated over the holdout, as a difference and as a ratio, that may be looked at any time.

Each group has a confidence sequence with half of 1 - confidence, so both hold together; the groups may be of any size and need not
grow in step. Outcomes are per person or per person and period, within a known range, and groups were drawn by lot.
"""

import numpy as np
import numpy.typing as npt

from bandits.evaluation.confidence_sequence import ConfidenceSequence
from bandits.evaluation.estimate import F64


class Lift:
    """Outcomes within [low, high] of two groups; streams as in ConfidenceSequence."""

    __slots__ = ("holdout", "treated")

    def __init__(
        self, low: float = 0.0, high: float = 1.0, confidence: float = 0.95, streams: tuple[int, ...] = ()
    ) -> None:
        """Nothing has come yet; `confidence` is that of the bounds of the difference, so each group's are a little wider.

        Raises:
            ValueError: low and high are no range, or the confidence is not between 0 and 1.
        """
        each = (1.0 + confidence) / 2.0
        self.treated = ConfidenceSequence(low, high, each, streams)
        self.holdout = ConfidenceSequence(low, high, each, streams)

    def add(self, treated: npt.ArrayLike, holdout: npt.ArrayLike) -> None:
        """More outcomes of both groups, (..., block); either may be an empty block."""
        self.treated.add(treated)
        self.holdout.add(holdout)

    def difference(self) -> tuple[F64, F64]:
        """Bounds of mean(treated) - mean(holdout)."""
        (low, high), (base_low, base_high) = self.treated.bounds(), self.holdout.bounds()
        return low - base_high, high - base_low

    def ratio(self) -> tuple[F64, F64]:
        """Bounds of mean(treated) / mean(holdout), for outcomes that are not negative; infinite while the holdout may be zero.

        Raises:
            ValueError: outcomes may be negative, and a ratio says nothing.
        """
        if self.treated.low < 0.0:
            raise ValueError("no ratio of outcomes that may be negative")
        (low, high), (base_low, base_high) = self.treated.bounds(), self.holdout.bounds()
        with np.errstate(divide="ignore", invalid="ignore"):
            return low / base_high, np.where(base_low > 0.0, high / base_low, np.inf)
