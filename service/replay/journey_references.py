"""What a policy is held against on the journey: those who know a household's habit, and those who know every outcome."""

from typing import Final

import numpy as np

from service.replay import supervised
from service.replay.journey import Journey
from service.replay.rounds import F32, F64
from service.replay.shopping import Shopping

FOLDS: Final = 5
CONTENDERS: Final = 10


def rewards(journey: Journey, shopping: Shopping, likelihood: F32) -> dict[str, F64]:
    """Rewards (rounds,) of every reference by its name.

    *usual* is the household's most frequent category so far, of equals the one bought last. *supervised* is a logistic
    model of our own features fitted to all outcomes of these very rounds; *supervised_5_fold* is fitted to the rounds of
    other households; *supervised_contenders* as well, and to each round's ten likeliest arms only, which is what a policy's own log is made of.

    Args:
        journey: the rounds.
        shopping: the year they were drawn from.
        likelihood: (rounds, arms) how likely each arm is by habit alone.
    """
    rounds = journey.rounds
    fold = journey.households % FOLDS
    top = supervised.contenders(likelihood, CONTENDERS)
    chosen = {
        "usual": usual(journey, shopping),
        "supervised": supervised.in_sample(rounds.phi, rounds.reward),
        "supervised_5_fold": supervised.out_of_fold(rounds.phi, rounds.reward, fold),
        "supervised_contenders": supervised.out_of_fold(rounds.phi, rounds.reward, fold, top),
    }
    return {name: rounds.earned(arms) for name, arms in chosen.items()}


def usual(journey: Journey, shopping: Shopping) -> supervised.Ints:
    """(rounds,) the category the household had bought most often, of equals the one bought last."""
    place = journey.households, journey.weeks
    times, last_s = shopping.times_before[place].astype(np.int64), shopping.last_s[place]
    combined = times * (int(last_s.max()) + 1) + last_s
    return np.asarray(combined.argmax(axis=1), np.int64)
