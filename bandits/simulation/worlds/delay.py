"""Rewards that take three days: what the engine believes must be right at every age of what it learned from."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.week import BEGIN_S, DAY_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

AGES_D: Final = (1, 2, 3, 6, 14)
"""Ends of the ages, in days since everybody was invited."""

PILOT_S: Final = 4 * WEEK_S
PILOT_SHARE: Final = 0.1
OFF_BY_MAX: Final = 0.15
"""In logarithms, at the worst age. News that is under way is missed while the model still learns whom the launch brought: knowing truly
how much is under way has up to 0.11 on seeds 0 to 23, half of that 0.19 and more."""

OFF_BY_LATER_MAX: Final = 0.05
"""At the last of the ages, when that is learned: knowing truly how much is under way has up to 0.034 on seeds 0 to 23, half of it 0.15 and more."""


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
    """What the engine predicts of what it shows against what it would predict if it had known every answer at once: the worst age.

    Against the truth it would be judged for more than delay: a model learned from a pilot is not yet that of everybody.
    """
    off = np.abs(off_by_age(played))
    return {
        "predicted_off_by_delay": Claim(float(off.max()), OFF_BY_MAX, is_at_most=True),
        "predicted_off_by_delay_later": Claim(float(off[-1]), OFF_BY_LATER_MAX, is_at_most=True),
    }


def off_by_age(played: Played) -> F64:
    """(ages,) logarithm of the mean prediction over the mean of what would have been predicted, by days since everybody was invited."""
    if played.at_once is None:
        raise ValueError("delay is judged against what would be predicted if every answer were known at once")
    shown = played.engine.where(played.engine.is_sent)
    age_d = (shown.at_s - shown.world.decides_from_s - PILOT_S) / DAY_S
    group = np.searchsorted(AGES_D, age_d)
    is_since = (age_d >= 0.0) & (group < len(AGES_D))
    means = [
        np.bincount(group[is_since], chances[is_since], len(AGES_D))
        for chances in (shown.predicted, played.at_once[: len(age_d)])
    ]
    off: F64 = np.log(means[0] / means[1])
    return off


def figures(played: Played) -> dict[str, list[float]]:
    """By age, with their signs: over seeds they tell chance from bias."""
    return {"predicted_off_by_delay_by_age": off_by_age(played).tolist()}
