"""The night-shift worker, asleep when everybody shops: are their pushes sent when they are awake?"""

from typing import Final

import numpy as np

from bandits.simulation import claims, clocks, town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.people import People, together
from bandits.simulation.trial import Trial
from bandits.simulation.week import BEGIN_S, F64, WEEK_S, hour_of_week
from bandits.simulation.world import Goal, World

KIND: Final = "night_worker"
KNOWN_AFTER_S: Final = 3 * WEEK_S


def workers(draw: np.random.Generator, count: int, popular: F64) -> People:
    """Ordinary in everything but their hours."""
    clock = clocks.of_night_workers(draw, count)
    return town.folk(KIND, draw, town.visits(draw, count), town.tastes(draw, count, popular), clock)


def build(seed: int, scale: float) -> World:
    """Forty night workers among 160 day people; nobody is known before the first week."""
    draw = np.random.default_rng([seed, 200])
    popular = town.popularity(draw)
    people = together([workers(draw, round(40 * scale), popular), town.ordinary(draw, round(160 * scale), popular)])
    ends_s = BEGIN_S + 16 * WEEK_S
    return World("night_shift", seed, people, town.offers(), BEGIN_S, ends_s, is_push=True, goal=Goal())


def judge(played: Played) -> dict[str, Claim]:
    """Where in their day the pushes fall from the fourth week on."""
    return {
        "night_worker_sends_in_waking_hours": Claim(awake_share(played.engine, KIND), 0.8),
        "ordinary_sends_in_waking_hours": Claim(awake_share(played.engine, "ordinary"), 0.8),
    }


def awake_share(trial: Trial, kind: str) -> float:
    """Share of the sends to a kind of people, three weeks after they joined and later, at which the person was awake."""
    people = trial.world.people
    known_s = people.joins_at_s[trial.person] + KNOWN_AFTER_S
    sends = trial.where(trial.is_sent & np.isin(trial.person, people.of_kind(kind)) & (trial.at_s >= known_s))
    hours = np.array([hour_of_week(at_s) for at_s in sends.at_s.tolist()], np.int64)
    return claims.share(people.is_awake[sends.person, hours])
