"""A learner plays rounds: choose, be told what the chosen arm earned, at once or late, and go on."""

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels.random import key_from_bytes
from bandits.learners.learner import Choice, Learner
from bandits.learners.rows import AT_ONCE, Arrivals
from service.replay.rounds import Rounds

Ints = npt.NDArray[np.int64]


class Pace(NamedTuple):
    """How late rewards come and how old the posterior may be, both in rounds.

    Attributes:
        delay: a round's answer is known `delay` rounds later than it could be; 0 is before the very next round.
        snapshot_every: so many rounds are decided with one posterior.
    """

    delay: int = 0
    snapshot_every: int = 1


def arrivals(pace: Pace) -> Arrivals:
    """The share of rewards that have come by an age in rounds, as `play` lets them come."""
    return AT_ONCE if pace.delay == 0 else Arrivals((pace.delay + 0.25, pace.delay + 0.75), (0.0, 1.0))


def play(learner: Learner, rounds: Rounds, pace: Pace, seed: int) -> Ints:
    """(rounds,) the arms chosen; the seed decides the draws."""
    arms = np.empty(rounds.length, np.int64)
    lessons = _AtOnce(learner, rounds) if pace == Pace() else _Late(learner, rounds, pace)
    for round_ in range(rounds.length):
        lessons.before(round_)
        choice = learner.predict(rounds.phi[round_], rounds.eligible[round_], _key(seed, round_))
        arms[round_] = choice.arm
        lessons.after(round_, choice)
    return arms


class _AtOnce:
    """Each round is learned before the next."""

    def __init__(self, learner: Learner, rounds: Rounds) -> None:
        self._learner, self._rounds = learner, rounds

    def before(self, round_: int) -> None:
        """Nothing is left to learn."""

    def after(self, round_: int, choice: Choice) -> None:
        row = self._rounds.phi[round_, choice.arm]
        self._learner.learn(row, float(self._rounds.reward[round_, choice.arm]), choice.propensity)


class _Late:
    """Answers wait until they are due, and all wait for the next snapshot."""

    def __init__(self, learner: Learner, rounds: Rounds, pace: Pace) -> None:
        self._learner, self._rounds, self._pace = learner, rounds, pace
        self._waiting: deque[tuple[int, int, float]] = deque()

    def before(self, round_: int) -> None:
        if round_ % self._pace.snapshot_every:
            return
        while self._waiting and self._waiting[0][0] + self._pace.delay < round_:
            _, row, reward = self._waiting.popleft()
            self._learner.answer(row, reward)
        self._learner.refresh(float(round_))

    def after(self, round_: int, choice: Choice) -> None:
        row = self._learner.show(self._rounds.phi[round_, choice.arm], choice.propensity, float(round_))
        self._waiting.append((round_, row, float(self._rounds.reward[round_, choice.arm])))


def _key(seed: int, round_: int) -> int:
    return key_from_bytes(seed.to_bytes(8, "big") + round_.to_bytes(8, "big"))
