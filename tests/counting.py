"""Sums of the shared model told row by row, for the tests of learning."""

import numpy as np
from numpy.typing import NDArray

from bandits import sums
from bandits.epoch import Epoch, begin
from bandits.features import DIMS, LINK, PRIORS
from bandits.sums import Row, Sums

EPOCH = begin(PRIORS, LINK)

F32 = NDArray[np.float32]


class Tally:
    """Exposures and rewards as they are told."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add_exposure(self, phi: F32, at_s: float, count: float = 1.0, offset: float = 0.0) -> None:
        self.rows.append(Row(phi, at_s, offset, shown=count))

    def add_reward(self, head: int, phi: F32, at_s: float, age_s: float, count: float = 1.0) -> None:
        answered = tuple(count if place == head else 0.0 for place in (0, 1))
        self.rows.append(Row(phi, at_s, 0.0, answered=answered, age_s=(age_s, age_s)))

    def sums(self, epoch: Epoch = EPOCH) -> Sums:
        return sums.count(sums.stack(self.rows), epoch) if self.rows else Sums(DIMS)
