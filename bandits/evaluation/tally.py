"""The diagnostics of weights that come in blocks, from sums alone."""

import numpy as np

from bandits.evaluation.diagnostics import Diagnostics
from bandits.evaluation.estimate import F64


class Tally:
    """Sums of weights and of weighted rewards."""

    __slots__ = ("_largest", "_reward", "_reward_square", "_rows", "_square", "_unsupported", "_weight")

    def __init__(self) -> None:
        self._rows = 0
        self._unsupported = 0
        self._weight, self._square, self._largest = 0.0, 0.0, 0.0
        self._reward, self._reward_square = 0.0, 0.0

    def add(self, weight: F64, reward: F64) -> None:
        """More rows, each (n,)."""
        rewarded = np.abs(weight * reward)
        self._rows += len(weight)
        self._unsupported += int((weight == 0.0).sum())
        self._weight += float(weight.sum())
        self._square += float(weight @ weight)
        self._largest = max(self._largest, float(weight.max(initial=0.0)))
        self._reward += float(rewarded.sum())
        self._reward_square += float(rewarded @ rewarded)

    def diagnostics(self) -> Diagnostics:
        """The same as `diagnostics.diagnose` of all rows at once; zeros when there was none."""
        rows = max(self._rows, 1)
        return Diagnostics(
            rows=self._rows,
            effective_rows=_effective(self._weight, self._square),
            effective_rewards=_effective(self._reward, self._reward_square),
            weight_max=self._largest,
            weight_mean=self._weight / rows,
            weight_max_share=self._largest / self._weight if self._weight > 0.0 else 0.0,
            unsupported_share=self._unsupported / rows,
        )


def _effective(total: float, square: float) -> float:
    return total * total / square if square > 0.0 else 0.0
