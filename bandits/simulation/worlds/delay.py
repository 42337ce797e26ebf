"""Rewards that take three days: what the engine believes must be right at every age of what it learned from."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.trial import Trial
from bandits.simulation.week import BEGIN_S, DAY_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

AGES_D: Final = (1, 2, 3, 6, 14)
"""Ends of the ages, in days since everybody was invited."""

PILOT_S: Final = 4 * WEEK_S
PILOT_SHARE: Final = 0.1
OFF_BY_MAX: Final = 0.15
"""In logarithms; the few hundred redemptions of an age leave about 0.06 to chance."""


def build(seed: int, scale: float) -> World:
    """500 people known for two months. A pilot with one in ten for four weeks, then everyone: from one day to the next nearly all that is
    learned from is young. The till tells of its redemptions once a day, at noon.
    """
    draw = np.random.default_rng([seed, 800])
    count = round(500 * scale)
    begins_s = BEGIN_S + 8 * WEEK_S
    is_pilot = draw.random(count) < PILOT_SHARE
    invited_at_s = np.where(is_pilot, begins_s, begins_s + PILOT_S)
    popular = town.popularity(draw)
    people = town.ordinary(draw, count, popular)._replace(invited_at_s=invited_at_s)
    ends_s = begins_s + PILOT_S + 18 * DAY_S
    offers = town.offers()
    return World("delay", seed, people, offers, begins_s, ends_s, is_push=False, goal=Goal(), told_every_s=DAY_S)


def judge(played: Played) -> dict[str, Claim]:
    """What the engine predicts, over the truth, against the same of an engine to which every answer was known at once: the worst age.

    Against the truth alone it would be judged for more than delay: a model learned from a pilot is not yet that of everybody.
    """
    if played.foretold is None:
        raise ValueError("delay is judged against a world in which every answer is foretold")
    worst = float(np.abs(np.log(by_age(played.engine) / by_age(played.foretold))).max())
    return {
        "predicted_off_by_delay": Claim(worst, OFF_BY_MAX, is_at_most=True),
    }


def by_age(trial: Trial) -> F64:
    """(ages,) predicted over true redemptions of what was shown, by days since everybody was invited."""
    age_d = (trial.at_s - trial.world.decides_from_s - PILOT_S) / DAY_S
    since = trial.where(age_d >= 0.0)
    group = np.searchsorted(AGES_D, age_d[age_d >= 0.0])
    predicted = np.bincount(group, since.predicted, len(AGES_D))[: len(AGES_D)]
    true = np.bincount(group, since.value, len(AGES_D))[: len(AGES_D)]
    ratios: F64 = predicted / true
    return ratios
