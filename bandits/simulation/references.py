"""Policies that know the truth: the best for each person, and the best that knows everything but the person."""

from typing import Final

import numpy as np

from bandits.simulation import truth
from bandits.simulation.life import Life
from bandits.simulation.people import Flags
from bandits.simulation.player import Choice, Told
from bandits.simulation.week import F64, HOUR_S, HOURS, I64
from bandits.simulation.world import World
from schema.event import EventType

_LOOKED_AT: Final = np.arange(0, HOURS, 3)


class Oracle:
    """Does at every moment what is truly worth most for this person now, or nothing when nothing is worth it.

    It does not look ahead: that a push makes the next one weaker is no reason for it not to send.
    """

    def __init__(self, world: World, life: Life) -> None:
        self.world, self.life = world, life
        self._everyone = np.arange(world.size)

    def bought(self, person: int, things: I64, at_s: float) -> None:
        """Knows already."""

    def looked(self, person: int, thing: int, at_s: float) -> None:
        """Knows already."""

    def said(self, decision: int, word: EventType, at_s: float) -> None:
        """Knows already."""

    def sent(self, decision: int) -> None:
        """Knows already."""

    def told(self, news: Told) -> None:
        """Knows already."""

    def new_day(self, at_s: float) -> None:
        """Needs no sleep."""

    def moments(self, begins_s: float) -> I64:
        """For each person the hour at which the best offer is worth most (every third is looked at: three days ahead change little)."""
        best = [self.values(self._everyone, begins_s + HOUR_S * (hour + 0.5)).max(axis=1) for hour in _LOOKED_AT]
        hours: I64 = _LOOKED_AT[np.argmax(best, axis=0)]
        return hours

    def values(self, persons: I64, at_s: float) -> F64:
        """(P, K) true worth of sending each offer now."""
        chance = truth.chances(self.world, persons, at_s, self.life.receptivity(persons, at_s))
        return truth.values(self.world, chance)

    def decide(self, _decision: int, person: int, at_s: float, mask: Flags) -> Choice:
        """The best of the eligible offers."""
        return _sure(np.where(mask, self.values(np.array([person]), at_s)[0], -np.inf))


class PopulationPolicy(Oracle):
    """Knows the truth about everybody together, as if by all the surveys in the world, and nothing about the person.

    At each hour it knows what each offer is worth on average to all who live here; it sends the best one if that is worth it, at the hour
    of the week that is best on average. Of a person it knows that they vetoed an offer, as everybody must.
    """

    def __init__(self, world: World, life: Life) -> None:
        super().__init__(world, life)
        self._known: dict[int, F64] = {}

    def moments(self, begins_s: float) -> I64:
        """The same for everyone."""
        best = [self._average(begins_s + HOUR_S * (hour + 0.5)).max() for hour in _LOOKED_AT]
        return np.full(self.world.size, _LOOKED_AT[int(np.argmax(best))])

    def decide(self, _decision: int, _person: int, at_s: float, mask: Flags) -> Choice:
        """The best of the eligible offers on average."""
        return _sure(np.where(mask, self._average(at_s), -np.inf))

    def _average(self, at_s: float) -> F64:
        """(K,) mean worth over the people who have joined, at the middle of this hour, all of them rested."""
        hour = int(at_s // HOUR_S)
        if hour not in self._known:
            now_s = HOUR_S * (hour + 0.5)
            here = np.flatnonzero(self.world.people.joins_at_s <= now_s)
            each = truth.values(self.world, truth.chances(self.world, here, now_s, np.ones(len(here))))
            self._known[hour] = each.mean(axis=0)
        return self._known[hour]


def _sure(values: F64) -> Choice:
    drawn = int(np.argmax(values))
    pmf = np.zeros(len(values))
    pmf[drawn] = 1.0
    is_sent = bool(values[drawn] > 0.0)
    return Choice(drawn, pmf, float(is_sent), is_sent)
