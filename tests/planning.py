"""Moments for the tests of planning."""

import numpy as np
import numpy.typing as npt

from bandits import send_time
from bandits.rhythm import HOURS, RECORD
from push.decider import Rhythms


class FirstAllowed:
    """Draws the first hour of the week that is allowed."""

    rhythm_bytes = RECORD.itemsize

    def current(self) -> "FirstAllowed":
        return self

    def draw(
        self,
        rhythms: Rhythms,
        is_allowed: npt.NDArray[np.bool_],
        clock: npt.NDArray[np.int64],
        uniforms: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        mine = is_allowed[clock]
        return np.where(mine.any(axis=1), mine.argmax(axis=1), -1), mine.any(axis=1).astype(np.float64)


class Shares:
    """Draws for people who never came, by the given shares of the population."""

    rhythm_bytes = RECORD.itemsize

    def __init__(self, shares: npt.NDArray[np.float64]) -> None:
        self.shares = shares.astype(np.float32)

    def draw(
        self,
        rhythms: Rhythms,
        is_allowed: npt.NDArray[np.bool_],
        clock: npt.NDArray[np.int64],
        uniforms: npt.NDArray[np.float64],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        visits = np.zeros((len(uniforms), HOURS), np.float32)
        return send_time.draw(visits, self.shares, is_allowed, clock, uniforms)[:2]
