"""The grown child: a household that bought for a baby, and one day does not any more."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.people import People, together
from bandits.simulation.week import BEGIN_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

KIND: Final = "parent"
BABY: Final = (2, 3, 4)
SCHOOL: Final = (5, 6)
CHANGE_TAKES_S: Final = 8 * WEEK_S
OUTGROWN_AFTER_S: Final = 8 * WEEK_S
OUTGROWN_SHARE_MAX: Final = 0.05
"""Of 24 offers the three outgrown ones would be an eighth by chance."""


def parents(draw: np.random.Generator, count: int, popular: F64, changes_at_s: F64) -> People:
    """Nappies, wipes and jars in about half of the baskets; over two months they go, and things for the lunch box come."""
    others = 0.5 * town.tastes(draw, count, popular)
    before, after = others.copy(), others.copy()
    before[:, BABY], after[:, BABY] = draw.uniform(0.4, 0.7, (count, len(BABY))), 0.0
    before[:, SCHOOL], after[:, SCHOOL] = 0.0, draw.uniform(0.3, 0.6, (count, len(SCHOOL)))
    return town.folk(
        KIND,
        draw,
        town.visits(draw, count),
        before,
        later_tastes=after,
        changes_at_s=changes_at_s,
        change_takes_s=np.full(count, CHANGE_TAKES_S),
    )


def build(seed: int, scale: float) -> World:
    """Forty households with a baby among 160 without; a push a week."""
    draw = np.random.default_rng([seed, 300])
    popular = town.popularity(draw)
    count = round(40 * scale)
    changes_at_s = BEGIN_S + draw.uniform(20.0, 24.0, count) * WEEK_S
    people = together([parents(draw, count, popular, changes_at_s), town.ordinary(draw, round(160 * scale), popular)])
    begins_s, ends_s = BEGIN_S + 8 * WEEK_S, BEGIN_S + 46 * WEEK_S
    return World("life_stage", seed, people, town.offers(), begins_s, ends_s, is_push=True, goal=Goal())


def judge(played: Played) -> dict[str, Claim]:
    """How often the outgrown is still offered two months after the last of it was bought."""
    trial, people = played.engine, played.engine.world.people
    over_s = people.changes_at_s + people.change_takes_s + OUTGROWN_AFTER_S
    grown = trial.where(np.isin(trial.person, people.of_kind(KIND)) & (trial.at_s > over_s[trial.person]))
    outgrown = float(grown.pmf[:, BABY].sum(axis=1).mean())
    return {
        "outgrown_share": Claim(outgrown, OUTGROWN_SHARE_MAX, is_at_most=True),
    }
