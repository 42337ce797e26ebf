"""What the engine keeps of its decisions in a trial: the rows that its posterior is made of."""

import numpy as np

from bandits.delay import WINDOWS_S
from bandits.features import DIMS
from bandits.simulation.week import F32, F64
from bandits.sums import Rows
from schema.snapshot import HEADS


class EngineLog:
    """Rows by number of the decision; those of decisions that were not sent are there as well, with shown 0."""

    def __init__(self) -> None:
        self._size = 0
        self._phi = np.zeros((1024, DIMS), np.float32)
        self._offset = np.zeros(1024, np.float32)
        self._at_s = np.zeros(1024)
        self._shown = np.zeros(1024)
        self._answered = np.zeros((1024, len(HEADS)))
        self._age_s = np.zeros((1024, len(HEADS)))

    def decided(self, phi: F32, offset: float, at_s: float) -> int:
        """The drawn offer's features, (d,), and the person's own part in its predictor; gives the number of the decision."""
        if self._size == len(self._at_s):
            for name in ("_phi", "_offset", "_at_s", "_shown", "_answered", "_age_s"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        number = self._size
        self._phi[number], self._offset[number], self._at_s[number] = phi, offset, at_s
        self._size += 1
        return number

    def sent(self, decision: int) -> float:
        """Counts the offer as shown; gives the instant."""
        self._shown[decision] = 1.0
        return float(self._at_s[decision])

    def shown_at(self, decision: int) -> float:
        """The instant the offer of a decision was shown at."""
        return float(self._at_s[decision])

    def answer(self, decision: int, head: int, happened_s: float, told_s: float) -> tuple[float, bool] | None:
        """Counts an answer within its window: when the offer was shown, and whether this is the first answer to it; None outside it."""
        age_s = happened_s - self._at_s[decision]
        if age_s > WINDOWS_S[head]:
            return None
        is_first = not self._answered[decision].any()
        self._answered[decision, head], self._age_s[decision, head] = 1.0, told_s - self._at_s[decision]
        return float(self._at_s[decision]), is_first

    def rows(self) -> Rows:
        """All that was shown."""
        shown = np.flatnonzero(self._shown[: self._size])
        return Rows(
            self._phi[shown],
            self._at_s[shown],
            self._offset[shown],
            self._shown[shown],
            self._answered[shown],
            self._age_s[shown],
        )

    def windows(self) -> tuple[F32, F64, F64]:
        """All decisions, sent or not: phi (n, d), at_s (n,), is_sent (n,) as 0 or 1."""
        size = self._size
        return self._phi[:size], self._at_s[:size], self._shown[:size]
