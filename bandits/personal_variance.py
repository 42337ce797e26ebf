"""How much people differ from one another: the prior variances of the personal layer, by empirical Bayes.

The marginal likelihood of everybody's sums is maximised over a grid, one block after the other (each block has one variance). Where people
do not differ the smallest value wins and the block is as good as switched off; a fixed variance would cost there.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from bandits.kernels import personal as kernels
from bandits.personal import VARIANCES, precision_of

GRID: Final = (1e-6, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
SWEEPS: Final = 3

PRIOR_DEVIATION: Final = 4.0
"""Of ln(variance) around what is assumed at first: without evidence a variance stays there."""


def learn(sums: npt.NDArray[np.float64], start: Sequence[float] = VARIANCES) -> tuple[float, ...]:
    """The most likely variance of each block, of the values on the grid.

    Args:
        sums: (people, kernels.SIZE) as they weigh now (Personal.at); people without any may be left out.
        start: what is in force.
    """
    found = tuple(start)
    for _ in range(SWEEPS):
        before = found
        for block in range(len(found)):
            options = [(*found[:block], value, *found[block + 1 :]) for value in GRID]
            found = max(options, key=lambda variances: _log_posterior(sums, variances))
        if found == before:
            break
    return found


def _log_posterior(sums: npt.NDArray[np.float64], variances: Sequence[float]) -> float:
    away = [math.log(value / usual) / PRIOR_DEVIATION for value, usual in zip(variances, VARIANCES, strict=True)]
    return kernels.log_evidence(sums, precision_of(variances)) - 0.5 * sum(one * one for one in away)
