"""Persuadables, sure things, lost causes and do-not-disturbs: a push is worth the margin it adds, not the purchase it precedes.

The four kinds are those of uplift modelling (Radcliffe, "Using control groups to target on predicted lift", 2007). A sure thing takes
the discount along with a purchase that was certain; a do-not-disturb, once disturbed, goes without.
"""

from typing import Final

import numpy as np

from bandits.simulation import town, truth
from bandits.simulation.claims import Claim, Played
from bandits.simulation.people import Flags, People, together
from bandits.simulation.trial import Trial
from bandits.simulation.week import BEGIN_S, WEEK_S
from bandits.simulation.world import Goal, World

OFFERS: Final = 12
FAVOURITES: Final = 3
ATTENTION_PRICE: Final = 0.05
"""In the currency of the margin, which is 1.60 a piece, of which the discount takes 0.60: one push in two hundred loses a permission to
push that is worth ten."""

HOLDOUT_SHARE: Final = 0.05
LEARNED_AFTER_S: Final = 12 * WEEK_S
FLOOR: Final = 0.01
FLOOR_TOLERANCE: Final = 0.0005

SURE: Final = 0.5
HABIT: Final = 0.15

TERMS: Final = (
    "judged from the thirteenth week of pushes on",
    "the moment of a push is given",
    f"attention costs {ATTENTION_PRICE} a push, of a margin of 1.60",
    f"no more than the floor: at most {FLOOR} + {FLOOR_TOLERANCE} of the pushes; lost causes, who like nothing, at most {2 * FLOOR}",
)
"""Set after the engine had first been seen here (docs/simulation.md), so they belong to whatever is claimed."""

WORST_NOT_ASKED: Final = (
    "the policy that knows everything but the person sends nothing to anybody: whoever tries anybody once is below it"
)

_COUNTS: Final = {"persuadable": 80, "sure_thing": 80, "lost_cause": 160, "do_not_disturb": 40}


def persuadables(draw: np.random.Generator, count: int) -> People:
    """They like some things without the habit of buying them, look at them in the app, and go when they are told of a deal.

    How easily they are moved is a trait of the person (Lichtenstein, Netemeyer and Burton, "Distinguishing coupon proneness from value
    consciousness", 1990), the same for all their favourites.
    """
    fans = _favourites(draw, count)
    likes = np.where(fans, draw.uniform(0.03, 0.08, fans.shape), 0.01)
    moved = np.where(fans, draw.uniform(0.25, 0.45, (count, 1)), 0.03)
    looks = np.where(fans, 1.0, 0.02)
    visits = town.visits(draw, count)
    return town.folk("persuadable", draw, visits, likes, persuasion=moved, views_per_week=looks)


def sure_things(draw: np.random.Generator, count: int) -> People:
    """They come every day for the same things, and a deal makes no difference."""
    fans = _favourites(draw, count)
    likes = np.where(fans, draw.uniform(0.5, 0.8, fans.shape), 0.01)
    visits = town.visits(draw, count, 5.0)
    looks = np.where(fans, 0.1, 0.02)
    return town.folk("sure_thing", draw, visits, likes, persuasion=np.zeros(likes.shape), views_per_week=looks)


def lost_causes(draw: np.random.Generator, count: int) -> People:
    """They come seldom, for other things, and a deal makes no difference."""
    likes = town.tastes(draw, count, np.full(town.THINGS, 0.05))
    likes[:, :OFFERS] = 0.01
    looks = np.full(likes.shape, 0.02)
    return town.folk(
        "lost_cause",
        draw,
        town.visits(draw, count, 0.8),
        likes,
        persuasion=np.full(likes.shape, 0.002),
        views_per_week=looks,
    )


def do_not_disturbs(draw: np.random.Generator, count: int) -> People:
    """They have their habits, and a push about one of these spoils it more often than not; half of what they notice they dismiss."""
    fans = _favourites(draw, count)
    likes = np.where(fans, draw.uniform(0.2, 0.4, fans.shape), 0.01)
    looks = np.where(fans, 0.1, 0.02)
    return town.folk(
        "do_not_disturb",
        draw,
        town.visits(draw, count, 3.0),
        likes,
        persuasion=np.zeros(likes.shape),
        annoyance=np.full(count, 0.6),
        dismissal=np.full(count, 0.5),
        views_per_week=looks,
    )


def _favourites(draw: np.random.Generator, count: int) -> Flags:
    """(N, T) three of the things on offer for each."""
    fans = np.zeros((count, town.THINGS), np.bool_)
    for row in fans:
        row[draw.choice(OFFERS, FAVOURITES, replace=False)] = True
    return fans


def build(seed: int, scale: float) -> World:
    """80 persuadables, 80 sure things, 160 lost causes, 40 do-not-disturbs, known for two months; a push a week; goal incremental_value."""
    draw = np.random.default_rng([seed, 700])
    make = {
        "persuadable": persuadables,
        "sure_thing": sure_things,
        "lost_cause": lost_causes,
        "do_not_disturb": do_not_disturbs,
    }
    people = together([make[kind](draw, round(count * scale)) for kind, count in _COUNTS.items()])
    return World(
        "persuadables",
        seed,
        people,
        town.offers(OFFERS),
        BEGIN_S + 8 * WEEK_S,
        BEGIN_S + 44 * WEEK_S,
        is_push=True,
        goal=Goal(is_incremental=True, attention_price=ATTENTION_PRICE),
        holdout_share=HOLDOUT_SHARE,
        has_given_moments=True,
    )


def judge(played: Played) -> dict[str, Claim]:
    """Margin added of what the oracle adds, once a quarter of pushes has been learned from; and what is sent in vain, or worse.

    A sure thing is a thing that the person buys anyway with SURE probability; a push spoils those that a do-not-disturb has the habit of.
    """
    after_s = played.engine.world.decides_from_s + LEARNED_AFTER_S
    ours, blind, best = (_added(trial, after_s) for trial in played.three)
    late = played.engine.where((played.engine.at_s > after_s) & ~played.engine.is_holdout)
    people = played.engine.world.people
    spoilt = (people.annoyance[:, None] > 0.0) & (people.tastes > HABIT)
    lost = late.where(np.isin(late.person, people.of_kind("lost_cause")))
    limit = FLOOR + FLOOR_TOLERANCE
    return {
        "incremental_margin_of_oracle": Claim(ours / best, 0.9),
        "incremental_margin_vs_population": Claim(ours - blind, 0.0),
        "sure_things_sent": Claim(_sent_of(late, _is_sure(late)), limit, is_at_most=True),
        "spoilt_habits_sent": Claim(_sent_of(late, spoilt[late.person]), limit, is_at_most=True),
        "lost_causes_sent": Claim(float(lost.send_probability.mean()), 2.0 * FLOOR, is_at_most=True),
    }


def _added(trial: Trial, after_s: float) -> float:
    """True incremental margin of all decisions from some time on, people of the holdout apart."""
    return float(trial.value[(trial.at_s > after_s) & ~trial.is_holdout].sum())


def _is_sure(trial: Trial) -> Flags:
    """(D, T) whether the person is going to buy the thing anyway."""
    expected = [
        truth.expected_purchases(trial.world.people, trial.person[[row]], at_s)[0]
        for row, at_s in enumerate(trial.at_s.tolist())
    ]
    sure: Flags = -np.expm1(-np.array(expected)) >= SURE
    return sure


def _sent_of(trial: Trial, things: Flags) -> float:
    """Mean probability of a push about one of the things (D, T), as logged, over the decisions of people who have such a thing."""
    chosen = things[:, : trial.pmf.shape[1]]
    sent = (trial.pmf * chosen).sum(axis=1) * trial.send_probability
    return float(sent[chosen.any(axis=1)].mean())
