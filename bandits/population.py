"""What people in general buy and when they come: decayed counts over everyone, kept per partition and added up.

Counts are weighted from a fixed epoch, so that they do not depend on the order of the log and partitions may be added.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from bandits.posterior import EPOCH_S
from bandits.rhythm import HOURS

HALF_LIFE_S: Final = 84 * 86400.0


class Population:
    """Decayed counts: baskets, visits by hour of the week (168,), baskets with each tag (tags,), all float64."""

    __slots__ = ("baskets", "hours", "tags")

    def __init__(self) -> None:
        self.baskets = 0.0
        self.hours: npt.NDArray[np.float64] = np.zeros(HOURS)
        self.tags: npt.NDArray[np.float64] = np.zeros(0)

    def bought(self, tag_ids: Iterable[int], hour: int, at_s: float) -> None:
        """A basket with these tags in local hour `hour` (-1 when unknown) at at_s, in seconds since 1970."""
        weight = _weight(at_s)
        self.baskets += weight
        if hour >= 0:
            self.hours[hour] += weight
        for tag_id in tag_ids:
            self._reach(tag_id + 1)
            self.tags[tag_id] += weight

    def add(self, other: "Population") -> None:
        """Adds the counts of another partition."""
        self._reach(len(other.tags))
        self.baskets += other.baskets
        self.hours += other.hours
        self.tags[: len(other.tags)] += other.tags

    def _reach(self, size: int) -> None:
        if size > len(self.tags):
            self.tags = np.concatenate([self.tags, np.zeros(size - len(self.tags))])

    def tag_shares(self) -> npt.NDArray[np.float32]:
        """Share of the baskets that hold each tag, (tags,)."""
        return (self.tags / max(self.baskets, 1e-300)).astype(np.float32)

    def hour_shares(self) -> npt.NDArray[np.float32]:
        """Share of the visits in each local hour of the week, (168,); uniform while nobody has come."""
        total = self.hours.sum()
        return (self.hours / total if total > 0.0 else np.full(HOURS, 1.0 / HOURS)).astype(np.float32)

    def baskets_at(self, now_s: float) -> float:
        """Baskets, decayed to now_s."""
        return self.baskets / _weight(now_s)

    def pack(self) -> bytes:
        """As little-endian float64: baskets, hours, tags."""
        return np.concatenate([[self.baskets], self.hours, self.tags]).astype("<f8").tobytes()


def unpack(data: bytes) -> Population:
    """Reads what `pack` wrote; no bytes are a partition without people.

    Raises:
        ValueError: too short to be one.
    """
    population = Population()
    if data:
        flat = np.frombuffer(data, "<f8")
        if flat.size <= HOURS:
            raise ValueError(f"{len(data)} bytes are too few for a population")
        population.baskets = float(flat[0])
        population.hours = flat[1 : 1 + HOURS].copy()
        population.tags = flat[1 + HOURS :].copy()
    return population


def _weight(at_s: float) -> float:
    return float(2.0 ** ((at_s - EPOCH_S) / HALF_LIFE_S))
