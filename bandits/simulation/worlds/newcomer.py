"""The newcomer, of whom nothing is known: first what everybody likes, then what they like."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.people import Flags, People, together
from bandits.simulation.trial import Trial
from bandits.simulation.week import BEGIN_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

KIND: Final = "newcomer"
FIRST: Final = 3
LATER: Final = 10


def newcomers(draw: np.random.Generator, count: int, popular: F64, joins_at_s: F64) -> People:
    """Ordinary, but they come to town later, at a full hour."""
    joins_at_s = BEGIN_S + np.floor((joins_at_s - BEGIN_S) / 3600.0) * 3600.0
    likes = town.tastes(draw, count, popular)
    return town.folk(KIND, draw, town.visits(draw, count), likes, joins_at_s=joins_at_s)


def build(seed: int, scale: float) -> World:
    """Sixty newcomers join 140 people the app has known for two months; offers in the app."""
    draw = np.random.default_rng([seed, 400])
    popular = town.popularity(draw)
    count = round(60 * scale)
    joins_at_s = BEGIN_S + draw.uniform(12.0, 20.0, count) * WEEK_S
    people = together([newcomers(draw, count, popular, joins_at_s), town.ordinary(draw, round(140 * scale), popular)])
    begins_s, ends_s = BEGIN_S + 8 * WEEK_S, BEGIN_S + 32 * WEEK_S
    return World("newcomer", seed, people, town.offers(), begins_s, ends_s, is_push=False, goal=Goal())


def judge(played: Played) -> dict[str, Claim]:
    """What the first decisions are worth against the population policy's, and what those after the tenth are."""
    numbered = [_number(trial) for trial in played.three]
    first = [_mean(trial, (n > 0) & (n <= FIRST)) for trial, n in zip(played.three, numbered, strict=True)]
    later = [_mean(trial, n > LATER) for trial, n in zip(played.three, numbered, strict=True)]
    return {
        "first_decisions_vs_population": Claim(first[0] / first[1], 0.9),
        "after_ten_decisions_vs_population": Claim(later[0] / later[1], 1.0),
    }


def _number(trial: Trial) -> np.ndarray:
    """(D,) the how-manieth decision for a newcomer each one is; 0 for other people."""
    number = np.zeros(len(trial.person), np.int64)
    for person in trial.world.people.of_kind(KIND).tolist():
        own = np.flatnonzero(trial.person == person)
        number[own] = np.arange(len(own)) + 1
    return number


def _mean(trial: Trial, chosen: Flags) -> float:
    return float(trial.value[chosen].mean())
