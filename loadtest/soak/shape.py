"""How a convenience store's traffic lies over the day and the week: a trough at night, peaks in the morning, at noon and after work."""

from typing import Final

import numpy as np

HOURLY: Final = (6, 4, 3, 3, 5, 14, 42, 88, 84, 52, 46, 66, 104, 92, 56, 50, 62, 88, 94, 70, 48, 34, 22, 12)
"""Events of each hour of the local day, in proportion."""
DAILY: Final = (100, 98, 99, 102, 118, 92, 74)
"""Of each day of the week, Monday first, in proportion."""
HOURS: Final = 24


class Shape:
    """The share of a run's traffic that is told by an hour of it. A run begins on a Monday at midnight, and all hours are those of UTC."""

    def __init__(self, days: float) -> None:
        self._edges = np.append(np.arange(0.0, days * HOURS), days * HOURS)
        hours = self._edges[:-1].astype(int)
        rates = np.take(HOURLY, hours % HOURS) * np.take(DAILY, hours // HOURS % len(DAILY))
        self._done = np.concatenate([[0.0], np.cumsum(rates * np.diff(self._edges))])

    def share_by(self, days: float) -> float:
        """Of everything, what is told until so many days have gone by: 0 at the beginning, 1 at the end and after it."""
        return float(np.interp(days * HOURS, self._edges, self._done) / self._done[-1])
