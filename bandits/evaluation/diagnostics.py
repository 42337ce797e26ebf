"""How far the weights of a log can be relied on, and how well the regression knows the rewards."""

from typing import Final, NamedTuple

import numpy as np

from bandits.evaluation.estimate import F64
from bandits.evaluation.regression import Expected

BINS: Final = 10


class Diagnostics(NamedTuple):
    """Figures of the weights (n,); shares are of rows or of the total weight.

    effective_rows is (sum w)^2 / sum w^2 (Kish 1965), the rows an unweighted log would need to tell as much; effective_rewards
    the same of the weighted rewards |w r|, which is what an estimate rests on when most rewards are zero.
    """

    rows: int
    effective_rows: float
    effective_rewards: float
    weight_max: float
    weight_mean: float
    weight_max_share: float
    unsupported_share: float


class CalibrationBin(NamedTuple):
    """A tenth of the rows, in order of what the regression expected: how many, what it expected, what came."""

    rows: int
    expected: float
    reward: float


def diagnose(weight: F64, reward: F64) -> Diagnostics:
    """Of the weights and rewards, each (n,)."""
    total = float(weight.sum())
    return Diagnostics(
        rows=len(weight),
        effective_rows=effective(weight),
        effective_rewards=effective(weight * reward),
        weight_max=float(weight.max()),
        weight_mean=float(weight.mean()),
        weight_max_share=float(weight.max()) / total if total > 0.0 else 0.0,
        unsupported_share=float((weight == 0.0).mean()),
    )


def effective(values: F64) -> float:
    """How many equal values would have the same ratio of mean square to squared mean; 0 when all are zero."""
    largest = float(np.abs(values).max())
    if largest == 0.0:
        return 0.0
    scaled = np.abs(values) / largest
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def calibration(expected: Expected, reward: F64) -> list[CalibrationBin]:
    """Tenths of each fold by what the regression expected of the logged action; reward is (n,).

    Within folds, because a fold that happens to hold more reward is expected to have less.
    """
    order = np.lexsort((expected.logged, expected.fold))
    fold = expected.fold[order]
    place = np.arange(len(order)) - np.searchsorted(fold, fold)
    tenth = BINS * place // np.bincount(fold)[fold]
    parts = [order[tenth == at] for at in range(BINS)]
    return [
        CalibrationBin(len(part), float(expected.logged[part].mean()), float(reward[part].mean()))
        for part in parts
        if len(part)
    ]
