"""What happens to people: the answers to offers, drawn from the same probabilities that `truth` has in closed form, and fatigue."""

import math
from typing import Final, NamedTuple

import numpy as np

from bandits.simulation import purchases, truth
from bandits.simulation.purchases import Baskets
from bandits.simulation.week import BEGIN_S, F64, HOUR_S, I64, Span, hour_of_week
from bandits.simulation.world import WINDOW_S, World

NEVER: Final = math.inf

_ANSWERS: Final = 4
OPEN_WINDOW_S: Final = 6 * HOUR_S
OPENS_AT_LEAST: Final = 0.05
OPENS_BY_LIKING: Final = 0.5
"""A noticed offer is opened out of curiosity, or because the person likes the thing: buys it, or might."""

_OPENING_TAKES_S: Final = 1800.0
_URGE_FADES_S: Final = 24 * HOUR_S
"""Who was persuaded goes at hours of their own, rather soon than late."""


class Answer(NamedTuple):
    """What came of one offer that was sent, in seconds since 1970, NEVER for what did not happen.

    `bought_s` is the first purchase of the thing in the window; `extra_s` that purchase if there would have been none without the offer.
    """

    opened_s: float
    bought_s: float
    redeemed_s: float
    extra_s: float
    dismissed_s: float
    vetoed_s: float


class Life:
    """The people as they live through one trial: purchases that are theirs, and how receptive they are to the next push.

    With the same world every policy meets the same purchases, and answers are drawn with the same numbers by person and occasion.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.baskets: list[Baskets] = [purchases.baskets(world, person) for person in range(world.size)]
        self._receptivity = np.ones(world.size)
        self._pushed_s = np.full(world.size, BEGIN_S)

    def receptivity(self, persons: I64, at_s: float) -> F64:
        """(P,) 1 when rested, towards 0 when tired of pushes."""
        left = np.exp(-(at_s - self._pushed_s[persons]) / self.world.people.recovery_s[persons])
        rested: F64 = 1.0 - (1.0 - self._receptivity[persons]) * left
        return rested

    def alone(self, person: int, thing: int, at_s: float) -> float:
        """When the person, to whom nothing was sent at that instant, first buys the thing within the window."""
        return self._first(person, self._in_window(person, thing, at_s))

    def send(self, person: int, thing: int, at_s: float, occasion: int) -> Answer:
        """Sends the offer; the person's own purchases may go, and the person gets tired. `occasion` numbers the person's decisions."""
        people, draw = self.world.people, self.world.generator(_ANSWERS, person, occasion)
        own = self._in_window(person, thing, at_s)
        is_noticed, is_persuaded, dismisses, vetoes, opens = draw.random(5) < (
            truth.notices(self.world, np.array([person]), at_s)[0],
            people.persuasion[person, thing] * self.receptivity(np.array([person]), at_s)[0],
            people.dismissal[person],
            people.veto[person, thing],
            self._chance_to_open(person, thing, at_s),
        )
        delays_s = draw.exponential(_OPENING_TAKES_S, 3)
        is_kept = draw.random(len(own)) >= (people.annoyance[person] if is_noticed else 0.0)
        self.baskets[person].has[own[~is_kept], thing] = False
        bought_s = self._first(person, own[is_kept])
        extra_s = NEVER
        if is_noticed and is_persuaded and bought_s == NEVER:
            extra_s = bought_s = self._urge(person, at_s, draw)
        self._tire(person, at_s)
        opened, dismissed, vetoed = (at_s + delays_s).tolist()
        return Answer(
            opened if is_noticed and opens and opened <= at_s + OPEN_WINDOW_S else NEVER,
            bought_s,
            bought_s if is_noticed else NEVER,
            extra_s,
            dismissed if is_noticed and dismisses else NEVER,
            vetoed if is_noticed and vetoes else NEVER,
        )

    def _in_window(self, person: int, thing: int, at_s: float) -> I64:
        """Indices of the person's baskets in the window that hold the thing."""
        kept = self.baskets[person]
        first, last = np.searchsorted(kept.at_s, (at_s, at_s + WINDOW_S), "right")
        found: I64 = first + np.flatnonzero(kept.has[first:last, thing])
        return found

    def _first(self, person: int, indices: I64) -> float:
        return float(self.baskets[person].at_s[indices[0]]) if len(indices) else NEVER

    def _chance_to_open(self, person: int, thing: int, at_s: float) -> float:
        people = self.world.people
        if self.world.is_push and not people.is_awake[person, hour_of_week(at_s)]:
            return 0.0
        liking = people.tastes_at(person, np.array([at_s]))[0, thing] + people.persuasion[person, thing]
        return OPENS_AT_LEAST + OPENS_BY_LIKING * min(float(liking), 1.0)

    def _urge(self, person: int, at_s: float, draw: np.random.Generator) -> float:
        """When the persuaded person buys: at hours of their own, and rather soon."""
        span = Span(at_s, at_s + WINDOW_S)
        weight: F64 = self.world.people.hours[person, span.hours] + 1e-6
        weight = weight * span.part * np.exp(-(span.begins_s - at_s) / _URGE_FADES_S)
        begin_s = float(draw.choice(span.begins_s, p=weight / weight.sum()))
        low_s, high_s = max(begin_s, at_s), min(begin_s + HOUR_S, at_s + WINDOW_S)
        return low_s + float(draw.random()) * (high_s - low_s)

    def _tire(self, person: int, at_s: float) -> None:
        if self.world.is_push:
            left = self.receptivity(np.array([person]), at_s)[0]
            self._receptivity[person] = left * (1.0 - self.world.people.tiring[person])
            self._pushed_s[person] = at_s
