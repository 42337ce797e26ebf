"""What people in general buy and when they come: decayed counts over everyone, kept per partition and added up.

Counts are weighted from a fixed instant, so that they do not depend on the order of the log and partitions may be added. Those that
fade quickly would overflow in a few decades: their instant moves on by whole eras, and what was counted before is scaled by a power of
two, which is exact.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from bandits.event_time import EPOCH_S
from bandits.rhythm import HOURS

HALF_LIFE_S: Final = 84 * 86400.0
RECENT_HALF_LIFE_S: Final = 14 * 86400.0
"""What is in season shows in the shares of the last weeks."""

RECENT_PSEUDO_BASKETS: Final = 5.0
"""Recent shares are shrunk to the long ones as if this many recent baskets had been like those."""

ERA_HALF_LIVES: Final = 64
ERA_S: Final = ERA_HALF_LIVES * RECENT_HALF_LIFE_S

ERA_MAX: Final = 10_000
"""Of a population that can be read: beyond every instant there is."""

_EXPONENT_MAX: Final = 900.0
"""What was counted before 2020 weighs next to nothing in the first era, and is made so many half-lives greater at most."""

_HEAD: Final = 3
_THURSDAY: Final = 3


class Population:
    """Decayed counts, all float64: baskets, visits by hour of the week (168,), baskets with each tag (tags,).

    `recent_baskets` and `recent_tags` (tags,) are baskets by the shorter half-life, weighted from the beginning of `era`.
    """

    __slots__ = ("baskets", "era", "hours", "recent_baskets", "recent_tags", "tags")

    def __init__(self) -> None:
        self.baskets = 0.0
        self.hours: npt.NDArray[np.float64] = np.zeros(HOURS)
        self.tags: npt.NDArray[np.float64] = np.zeros(0)
        self.era = 0
        self.recent_baskets = 0.0
        self.recent_tags: npt.NDArray[np.float64] = np.zeros(0)

    def bought(self, tag_ids: Sequence[int], hour: int, at_s: float) -> None:
        """A basket with these tags in local hour `hour` (-1 when unknown) at at_s, in seconds since 1970."""
        self._advance(_era_of(at_s))
        weight, recent = _weight(at_s), self._recent_weight(at_s)
        self.baskets += weight
        self.recent_baskets += recent
        if hour >= 0:
            self.hours[hour] += weight
        self.reach(max(tag_ids, default=-1) + 1)
        for tag_id in tag_ids:
            self.tags[tag_id] += weight
            self.recent_tags[tag_id] += recent

    def add(self, other: "Population") -> None:
        """Adds the counts of another partition."""
        self.reach(len(other.tags))
        self._advance(other.era)
        left = 2.0 ** (ERA_HALF_LIVES * (other.era - self.era))
        self.baskets += other.baskets
        self.hours += other.hours
        self.tags[: len(other.tags)] += other.tags
        self.recent_baskets += left * other.recent_baskets
        self.recent_tags[: len(other.recent_tags)] += left * other.recent_tags

    def reach(self, size: int) -> None:
        """Makes room for the tags 0 to size - 1."""
        self.tags = _longer(self.tags, size)
        self.recent_tags = _longer(self.recent_tags, len(self.tags))

    def _advance(self, era: int) -> None:
        if era > self.era:
            left = 2.0 ** (ERA_HALF_LIVES * (self.era - era))
            self.recent_baskets *= left
            self.recent_tags *= left
            self.era = era

    def _recent_weight(self, at_s: float) -> float:
        return float(2.0 ** ((at_s - EPOCH_S - self.era * ERA_S) / RECENT_HALF_LIFE_S))

    def tag_shares(self) -> npt.NDArray[np.float32]:
        """Share of the baskets that hold each tag, (tags,)."""
        return (self.tags / max(self.baskets, 1e-300)).astype(np.float32)

    def recent_shares(self, now_s: float) -> npt.NDArray[np.float32]:
        """Share of the baskets of the last weeks that hold each tag, shrunk to `tag_shares`, (tags,)."""
        prior = RECENT_PSEUDO_BASKETS * self.tags / max(self.baskets, 1e-300)
        elapsed_s = now_s - EPOCH_S - self.era * ERA_S
        left = 2.0 ** min(-elapsed_s / RECENT_HALF_LIFE_S, _EXPONENT_MAX)
        shares = (left * self.recent_tags + prior) / (left * self.recent_baskets + RECENT_PSEUDO_BASKETS)
        return np.asarray(shares, np.float32)

    def hour_shares(self) -> npt.NDArray[np.float32]:
        """Share of the visits in each local hour of the week, (168,); uniform while nobody has come."""
        total = self.hours.sum()
        return (self.hours / total if total > 0.0 else np.full(HOURS, 1.0 / HOURS)).astype(np.float32)

    def day_visits(self, now_s: float) -> npt.NDArray[np.float64]:
        """Visits, decayed to now_s, on each local day of the week from Thursday on, the first day of 1970; (7,)."""
        from_monday = self.hours.reshape(7, 24).sum(axis=1) / _weight(now_s)
        return np.roll(from_monday, -_THURSDAY)

    def baskets_at(self, now_s: float) -> float:
        """Baskets, decayed to now_s."""
        return self.baskets / _weight(now_s)

    def pack(self) -> bytes:
        """As little-endian float64: era, recent baskets, number of recent tags, these; then baskets, hours, tags."""
        head = [self.era, self.recent_baskets, len(self.recent_tags)]
        parts = (head, self.recent_tags, [self.baskets], self.hours, self.tags)
        return np.concatenate(parts).astype("<f8").tobytes()


def unpack(data: bytes) -> Population:
    """Reads what `pack` wrote; no bytes are a partition without people.

    Raises:
        ValueError: the length is not that of one, or its head holds what is no number of an era, or of tags.
    """
    population = Population()
    if data:
        flat = np.frombuffer(data, "<f8")
        if flat.size <= _HEAD + HOURS:
            raise ValueError(f"{len(data)} bytes are too few for a population")
        recent = _whole(flat[_HEAD - 1], flat.size - _HEAD - HOURS - 1)
        begin = _HEAD + recent
        population.era, population.recent_baskets = _whole(flat[0], ERA_MAX), float(flat[1])
        population.recent_tags = flat[_HEAD:begin].copy()
        population.baskets = float(flat[begin])
        population.hours = flat[begin + 1 : begin + 1 + HOURS].copy()
        population.tags = flat[begin + 1 + HOURS :].copy()
        population.reach(len(population.recent_tags))
    return population


def _whole(number: float, most: int) -> int:
    """A whole number of the head, 0 to `most`. Raises ValueError."""
    if not (0 <= number <= most and number == int(number)):
        raise ValueError(f"{number} in the head of a population is not one of 0 to {most}")
    return int(number)


def _longer(counts: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    return np.concatenate([counts, np.zeros(size - len(counts))]) if size > len(counts) else counts


def _era_of(at_s: float) -> int:
    return int((at_s - EPOCH_S) // ERA_S)


def _weight(at_s: float) -> float:
    return float(2.0 ** ((at_s - EPOCH_S) / HALF_LIFE_S))
