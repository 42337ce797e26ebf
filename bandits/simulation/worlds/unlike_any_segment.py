"""The one unlike any segment: likes what hardly anybody likes, in a mixture that nobody else has."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played
from bandits.simulation.people import People, together
from bandits.simulation.week import BEGIN_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

KIND: Final = "odd_one"
LIKES: Final = 3
KNOWN_AFTER_S: Final = 8 * WEEK_S
SHARE: Final = 0.75
"""Twenty people get 0.80 in the mean of five seeds, with a deviation of 0.03 (docs/simulation.md)."""


def odd_ones(draw: np.random.Generator, count: int, popular: F64) -> People:
    """Each likes three of the eight least popular things on offer, and of the rest nothing."""
    rare = np.argsort(popular[: town.OFFERED])[:8]
    likes = np.full((count, town.THINGS), 0.003)
    for row in likes:
        row[draw.choice(rare, LIKES, replace=False)] = draw.uniform(0.2, 0.6, LIKES)
    return town.folk(KIND, draw, town.visits(draw, count), likes)


def build(seed: int, scale: float) -> World:
    """Twenty of them, no two alike, among 180 ordinary people; nobody is known before; a push a week."""
    draw = np.random.default_rng([seed, 500])
    popular = town.popularity(draw)
    people = together([odd_ones(draw, round(20 * scale), popular), town.ordinary(draw, round(180 * scale), popular)])
    ends_s = BEGIN_S + 30 * WEEK_S
    return World("unlike_any_segment", seed, people, town.offers(), BEGIN_S, ends_s, is_push=True, goal=Goal())


def judge(played: Played) -> dict[str, Claim]:
    """What they get of what there is to get, two months after the first visit."""
    people = played.engine.world.people
    odd = people.of_kind(KIND)
    since = [t.where(np.isin(t.person, odd) & (t.at_s > BEGIN_S + KNOWN_AFTER_S)) for t in played.three]
    ours, blind, best = (float(trial.value.mean()) for trial in since)
    return {
        "odd_ones_share_of_oracle": Claim(ours / best, SHARE),
        "odd_ones_vs_population": Claim(ours / blind, 1.0),
    }
