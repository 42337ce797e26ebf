"""Rewards that take three days: what the engine believes must be right at every age of what it learned from."""

from typing import Final

import numpy as np

from bandits.simulation import claims, town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.trial import Trial
from bandits.simulation.week import BEGIN_S, DAY_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

AGES_D: Final = (1, 3, 6, 14, 40)
"""Ends of the ages of the log, in days since the launch."""

OFF_BY_MAX: Final = 0.2
"""Predicted and true redemptions may differ by this share."""


def build(seed: int, scale: float) -> World:
    """A launch: 500 people known for two months, and the till tells of its redemptions once a day, at midnight."""
    draw = np.random.default_rng([seed, 800])
    people = town.ordinary(draw, round(500 * scale), town.popularity(draw))
    begins_s = BEGIN_S + 8 * WEEK_S
    return World(
        "delay",
        seed,
        people,
        town.offers(),
        begins_s,
        begins_s + 43 * DAY_S,
        is_push=False,
        goal=Goal(),
        told_every_s=DAY_S,
    )


def judge(played: Played) -> dict[str, Claim]:
    """Predicted over true redemptions, by age of the log; the first day stands on the prior alone."""
    ratios = by_age(played.engine)
    worst = float(np.abs(np.log(ratios[1:])).max())
    return {
        "predicted_vs_true_off_by": Claim(worst, OFF_BY_MAX, is_at_most=True),
        "worst_decile_vs_population": claims.worst_decile(played),
    }


def by_age(trial: Trial) -> F64:
    """(ages,) predicted over true redemptions of what was shown, by days since the launch."""
    age_d = (trial.at_s - trial.world.decides_from_s) / DAY_S
    group = np.searchsorted(AGES_D, age_d)
    predicted = np.bincount(group, trial.predicted, len(AGES_D))
    true = np.bincount(group, trial.value, len(AGES_D))
    return predicted[: len(AGES_D)] / true[: len(AGES_D)]
