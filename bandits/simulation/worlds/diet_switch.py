"""The one who had a bagel every day, two hundred of them, and then eats something else."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.people import People, together
from bandits.simulation.trial import Trial
from bandits.simulation.week import BEGIN_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

KIND: Final = "diet_switcher"
BAGEL: Final = 0
SALAD: Final = 1

DAILY: Final = 7.0
BAGELS_TAKE_S: Final = 30 * WEEK_S
"""At 0.95 a day two hundred bagels take thirty weeks."""

WITHIN: Final = 30
LOOKED_AT: Final = 10
DRIFTERS_SHARE: Final = 0.1


def switchers(draw: np.random.Generator, count: int, popular: F64) -> People:
    """A visit and a look into the app a day; everything but the one favourite is bought half as often as by others, 0.3 at most."""
    before = np.minimum(0.5 * town.tastes(draw, count, popular), 0.3)
    after = before.copy()
    before[:, [BAGEL, SALAD]], after[:, [BAGEL, SALAD]] = (0.95, 0.02), (0.02, 0.95)
    daily = np.full(count, DAILY)
    changes_at_s = BEGIN_S + BAGELS_TAKE_S + draw.uniform(0.0, WEEK_S, count)
    return town.folk(KIND, draw, daily, before, later_tastes=after, changes_at_s=changes_at_s, opens_per_week=daily)


def drifters(draw: np.random.Generator, count: int, popular: F64, weeks: int) -> People:
    """Ordinary people whose favourite becomes another thing, at any time: habits end, also elsewhere."""
    before = town.tastes(draw, count, popular)
    rows, favourite, other = np.arange(count), before.argmax(axis=1), draw.integers(0, town.THINGS, count)
    after = before.copy()
    after[rows, favourite], after[rows, other] = before[rows, other], before[rows, favourite]
    changes_at_s = BEGIN_S + draw.uniform(0.0, weeks * WEEK_S, count)
    return town.folk("drifter", draw, town.visits(draw, count), before, later_tastes=after, changes_at_s=changes_at_s)


def build(seed: int, scale: float) -> World:
    """Twelve switchers among 120 ordinary people of whom one in ten changes habits at some time; offers in the app."""
    draw = np.random.default_rng([seed, 100])
    popular = town.popularity(draw)
    weeks = 38
    people = together(
        [
            switchers(draw, max(round(12 * scale), 4), popular),
            drifters(draw, round(120 * DRIFTERS_SHARE * scale), popular, weeks),
            town.ordinary(draw, round(120 * (1 - DRIFTERS_SHARE) * scale), popular),
        ]
    )
    begins_s, ends_s = BEGIN_S + 8 * WEEK_S, BEGIN_S + weeks * WEEK_S
    return World("diet_switch", seed, people, town.offers(), begins_s, ends_s, is_push=False, goal=Goal())


def judge(played: Played) -> dict[str, Claim]:
    """How much of the switchers' decisions the new best offer holds when thirty decisions have gone by since the switch."""
    since = interactions(played.engine)
    late = (since > WITHIN - LOOKED_AT) & (since <= WITHIN)
    return {
        "new_best_share_after_30_interactions": Claim(float(played.engine.pmf[late, SALAD].mean()), 0.5),
    }


def interactions(trial: Trial) -> np.ndarray:
    """(D,) the how-manieth decision since the person's switch each one is; 0 for those before it and of other people."""
    people = trial.world.people
    number = np.zeros(len(trial.person), np.int64)
    for person in people.of_kind(KIND).tolist():
        own = np.flatnonzero((trial.person == person) & (trial.at_s > people.changes_at_s[person]))
        number[own] = np.arange(len(own)) + 1
    return number
