"""One policy lives through one world, hour by hour, and every decision is written down with what it was truly worth."""

import heapq
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, NamedTuple

import numpy as np

from bandits.simulation import purchases, truth
from bandits.simulation.life import NEVER, Answer, Life
from bandits.simulation.people import Flags
from bandits.simulation.player import Choice, Player, Told
from bandits.simulation.week import BEGIN_S, DAY_S, F64, HOUR_S, HOURS, I64, WEEK_S
from bandits.simulation.world import WINDOW_S, World
from schema.event import EventType

HOLDOUT: Final = 5
NOON_S: Final = DAY_S / 2


class Trial(NamedTuple):
    """D decisions in order of time.

    person, at_s, drawn, is_sent, send_probability: (D,); pmf (D, K) is zero for offers that were not eligible; value (D,) is the true
    expectation of what was done, 0 when nothing was sent; is_holdout (D,); predicted (D,) the policy's own probability of a redemption.
    """

    world: World
    person: I64
    at_s: F64
    drawn: I64
    is_sent: Flags
    send_probability: F64
    pmf: F64
    value: F64
    is_holdout: Flags
    predicted: F64

    def where(self, chosen: Flags) -> "Trial":
        """Some of the decisions."""
        columns = {name: getattr(self, name)[chosen] for name in self._fields[1:]}
        return Trial(self.world, **columns)


_Event = tuple[float, int, Callable[..., None], tuple[Any, ...]]


class _Course:
    """The run of events of a trial."""

    def __init__(self, world: World, life: Life, player: Player) -> None:
        self.world, self.life, self.player = world, life, player
        self.rows: list[tuple[Any, ...]] = []
        self._agenda: list[_Event] = []
        self._order = count()
        self._occasions = np.zeros(world.size, np.int64)
        self._vetoed = np.zeros((world.size, len(world.offers.price)), np.bool_)
        self.in_holdout = world.generator(HOLDOUT).random(world.size) < world.holdout_share

    def run(self) -> None:
        for at_s, _, act, arguments in self._events():
            if at_s >= self.world.ends_s:
                return
            act(at_s, *arguments)

    def _events(self) -> Iterator[_Event]:
        """What is on the agenda, in order of time, with what is put on it meanwhile."""
        known = sorted(self._known(), key=lambda event: event[:2])
        for event in known:
            while self._agenda and self._agenda[0][:2] < event[:2]:
                yield heapq.heappop(self._agenda)
            yield event
        while self._agenda:
            yield heapq.heappop(self._agenda)

    def _known(self) -> Iterator[_Event]:
        """What is going to happen whatever is decided."""
        world, order = self.world, self._order
        for day_s in np.arange(world.decides_from_s, world.ends_s, DAY_S).tolist():
            yield day_s, next(order), self._day, ()
        if world.is_push:
            for week_s in np.arange(world.decides_from_s, world.ends_s, WEEK_S).tolist():
                yield week_s, next(order), self._week, ()
        for person in range(world.size):
            for index, at_s in enumerate(self.life.baskets[person].at_s.tolist()):
                yield at_s, next(order), self._basket, (person, index)
            for at_s, thing in zip(*(column.tolist() for column in purchases.looks(world, person)), strict=True):
                yield at_s, next(order), self._look, (person, thing)
            if not world.is_push:
                opened = purchases.opens(world, person)
                from_s = max(world.decides_from_s, float(world.people.invited_at_s[person]))
                for at_s in opened[opened >= from_s].tolist():
                    yield at_s, next(order), self._decide, (person,)

    def _later(self, at_s: float, act: Callable[..., None], *arguments: Any) -> None:
        if at_s < NEVER:
            heapq.heappush(self._agenda, (at_s, next(self._order), act, arguments))

    def _day(self, at_s: float) -> None:
        self.player.new_day(at_s)

    def _week(self, at_s: float) -> None:
        minutes = self.world.generator(HOLDOUT + 1, int((at_s - BEGIN_S) // WEEK_S)).random(self.world.size)
        hours = self._given_hours(at_s) if self.world.has_given_moments else self.player.moments(at_s)
        for person, hour in enumerate(hours.tolist()):
            if max(self.world.people.joins_at_s[person], self.world.people.invited_at_s[person]) <= at_s:
                self._later(at_s + HOUR_S * (hour + minutes[person]), self._decide, person)

    def _given_hours(self, at_s: float) -> I64:
        uniform = self.world.generator(HOLDOUT + 2, int((at_s - BEGIN_S) // WEEK_S)).random((self.world.size, 1))
        hours: I64 = np.minimum((np.cumsum(self.world.people.hours, axis=1) < uniform).sum(axis=1), HOURS - 1)
        return hours

    def _basket(self, at_s: float, person: int, index: int) -> None:
        self.player.bought(person, np.flatnonzero(self.life.baskets[person].has[index]), at_s)

    def _extra(self, at_s: float, person: int, thing: int) -> None:
        self.player.bought(person, np.array([thing]), at_s)

    def _look(self, at_s: float, person: int, thing: int) -> None:
        self.player.looked(person, thing, at_s)

    def _word(self, at_s: float, decision: int, person: int, thing: int, word: EventType) -> None:
        if word == EventType.THUMBS_DOWN:
            self._vetoed[person, thing] = True
        self.player.said(decision, word, at_s)

    def _told(self, _at_s: float, news: Told) -> None:
        self.player.told(news)

    def _decide(self, at_s: float, person: int) -> None:
        mask = self.world.offers.run_at(at_s) & ~self._vetoed[person]
        if not mask.any():
            return
        decision = len(self.rows)
        choice = self.player.decide(decision, person, at_s, mask)
        is_sent = choice.is_sent and not self.in_holdout[person]
        self._write(person, at_s, choice, is_sent=is_sent)
        if is_sent:
            self.player.sent(decision)
            answer = self.life.send(person, choice.drawn, at_s, int(self._occasions[person]))
            self._answered(decision, person, choice.drawn, answer)
        else:
            self._report(decision, "bought", self.life.alone(person, choice.drawn, at_s))
        self._occasions[person] += 1

    def _answered(self, decision: int, person: int, thing: int, answer: Answer) -> None:
        self._later(answer.extra_s, self._extra, person, thing)
        self._later(answer.dismissed_s, self._word, decision, person, thing, EventType.DISMISSED)
        self._later(answer.vetoed_s, self._word, decision, person, thing, EventType.THUMBS_DOWN)
        self._later(answer.opened_s, self._told, Told(decision, "open", answer.opened_s, answer.opened_s))
        self._report(decision, "bought", answer.bought_s)
        self._report(decision, "redeem", answer.redeemed_s)

    def _report(self, decision: int, head: str, happened_s: float) -> None:
        """The till tells at once, or all of a span together at noon after its end."""
        every_s, told_s = self.world.told_every_s, happened_s
        if every_s > 0.0 and happened_s < NEVER:
            told_s = BEGIN_S + NOON_S + every_s * math.ceil((happened_s - BEGIN_S - NOON_S) / every_s)
        self._later(told_s, self._told, Told(decision, head, happened_s, told_s))

    def _write(self, person: int, at_s: float, choice: Choice, *, is_sent: bool) -> None:
        worth = 0.0
        if is_sent:
            who = np.array([person])
            chance = truth.chances(self.world, who, at_s, self.life.receptivity(who, at_s))
            worth = float(truth.values(self.world, chance)[0, choice.drawn])
        is_holdout = bool(self.in_holdout[person])
        probability = 0.0 if is_holdout else choice.send_probability
        self.rows.append(
            (person, at_s, choice.drawn, is_sent, probability, choice.pmf, worth, is_holdout, choice.predicted)
        )


def play(world: World, join: Callable[[World, Life], Player]) -> Trial:
    """Lets a policy live through the world; the last window's decisions are left out, for they have no full answer."""
    life = Life(world)
    return live(world, life, join(world, life))


def live(world: World, life: Life, player: Player) -> Trial:
    """The same of a player that was made for this life."""
    course = _Course(world, life, player)
    course.run()
    columns = zip(*course.rows, strict=True)
    trial = Trial(world, *(np.array(column) for column in columns))
    return trial.where(trial.at_s <= world.ends_s - WINDOW_S)
