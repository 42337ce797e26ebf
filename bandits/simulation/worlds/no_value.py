"""The one for whom nothing on offer has value: who buys other things, and who does not come at all. They are to be left in peace."""

from typing import Final

import numpy as np

from bandits.simulation import town
from bandits.simulation.claims import Claim, Played, per_person
from bandits.simulation.people import People, together
from bandits.simulation.trial import Trial
from bandits.simulation.week import BEGIN_S, F64, WEEK_S
from bandits.simulation.world import Goal, World

KINDS: Final = ("buys_other_things", "never_comes")
ATTENTION_PRICE: Final = 0.05
"""A push is worth sending from one redemption in twenty on."""

LEFT_IN_PEACE_AFTER_S: Final = 12 * WEEK_S
FLOOR: Final = 0.01
TERMS: Final = ("judged from the thirteenth week of pushes on", f"attention costs {ATTENTION_PRICE} redemptions a push")


def buyers_of_other_things(draw: np.random.Generator, count: int, popular: F64) -> People:
    """Regulars, but nothing of what they buy is ever on offer."""
    likes = town.tastes(draw, count, popular)
    likes[:, : town.OFFERED] = 0.0
    return town.folk(KINDS[0], draw, town.visits(draw, count), likes)


def absent(draw: np.random.Generator, count: int) -> People:
    """They have the app and never come; now and then they look into it on a push, out of curiosity."""
    return town.folk(KINDS[1], draw, np.zeros(count), np.zeros((count, town.THINGS)))


def build(seed: int, scale: float) -> World:
    """Thirty of either kind among 140 ordinary people; known for four weeks when the weekly pushes begin."""
    draw = np.random.default_rng([seed, 600])
    popular = town.popularity(draw)
    people = together(
        [
            buyers_of_other_things(draw, round(30 * scale), popular),
            absent(draw, round(30 * scale)),
            town.ordinary(draw, round(140 * scale), popular),
        ]
    )
    begins_s, ends_s = BEGIN_S + 4 * WEEK_S, BEGIN_S + 30 * WEEK_S
    goal = Goal(attention_price=ATTENTION_PRICE)
    return World("no_value", seed, people, town.offers(), begins_s, ends_s, is_push=True, goal=goal)


def judge(played: Played) -> dict[str, Claim]:
    """The largest mean probability of being sent anything, of all for whom nothing has value; and that others are still sent to."""
    most = {kind: most_sent(played.engine, kind, LEFT_IN_PEACE_AFTER_S) for kind in KINDS}
    others = played.engine.world.people.of_kind("ordinary")
    worth = [np.nanmean(per_person(trial, trial.world.size)[others]) for trial in played.three]
    return {
        **{f"{kind}_sent_at_most": Claim(value, FLOOR, is_at_most=True) for kind, value in most.items()},
        "ordinary_share_of_oracle": Claim(float(worth[0] / worth[2]), 0.7),
    }


def most_sent(trial: Trial, kind: str, after_s: float) -> float:
    """The mean probability of a push, as logged, of the person of that kind who has the highest, from some time on."""
    people = trial.world.people
    late = trial.where(trial.at_s > trial.world.decides_from_s + after_s)
    means = [late.send_probability[late.person == person].mean() for person in people.of_kind(kind).tolist()]
    return float(np.round(max(means), 6))
