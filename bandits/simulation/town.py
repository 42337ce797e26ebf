"""Ordinary people, and the shop they go to: the ground on which the particular people of each world stand out.

Numbers are those of the trade where there are some: how often a household buys in a category varies between people like a gamma of
shape about one half (the negative binomial of purchase counts: Ehrenberg, "Repeat-Buying", 1972), the popularity of categories falls
like a power of the rank, and a regular comes two or three times a week. None is taken from an engine.
"""

from typing import Any, Final

import numpy as np

from bandits.simulation import clocks
from bandits.simulation.clocks import Clock
from bandits.simulation.people import People
from bandits.simulation.week import BEGIN_S, DAY_S, F64
from bandits.simulation.world import Offers

THINGS: Final = 36
OFFERED: Final = 24
"""The first of the things are on offer; the rest are bought as well and never offered."""

SEGMENTS: Final = 5
_OF_A_SEGMENT: Final = 7
_MORE, _LESS = 4.0, 0.5
_SHAPE: Final = 0.5
TASTE_MAX: Final = 0.95

PRICE: Final = 4.0
MARGIN_SHARE: Final = 0.4
DISCOUNT_SHARE: Final = 0.15


def offers(count: int = OFFERED) -> Offers:
    """Alike in price: 4.00, of which 1.60 is margin, with 0.60 off."""
    price = np.full(count, PRICE)
    return Offers(price, MARGIN_SHARE * price, DISCOUNT_SHARE * price, np.full(count, BEGIN_S))


def popularity(draw: np.random.Generator) -> F64:
    """(T,) mean share of the baskets with each thing, from 0.25 down to 0.014, in no order."""
    ranks = (draw.permutation(THINGS) + 1).astype(np.float64)
    shares: F64 = np.power(ranks, -0.8) * 0.25
    return shares


def tastes(draw: np.random.Generator, count: int, popular: F64) -> F64:
    """(N, T): each person is of a segment that buys some things more and the rest less, and beyond that is unlike anybody else."""
    liked = np.full((SEGMENTS, THINGS), _LESS)
    # The segments are those of the town, whoever asks: their own numbers.
    of_town = np.random.default_rng(int(popular.argmax()))
    for segment in range(SEGMENTS):
        liked[segment, of_town.choice(THINGS, _OF_A_SEGMENT, replace=False)] = _MORE
    own = draw.gamma(_SHAPE, 1.0 / _SHAPE, (count, THINGS))
    chance: F64 = -np.expm1(-popular * liked[draw.integers(0, SEGMENTS, count)] * own)
    return np.minimum(chance, TASTE_MAX)


def folk(
    kind: str,
    draw: np.random.Generator,
    visits_per_week: F64,
    likes: F64,
    clock: Clock | None = None,
    **different: Any,
) -> People:
    """People of one kind who are ordinary in everything that is not said of them.

    Args:
        kind: its name.
        draw: random numbers.
        visits_per_week: (N,).
        likes: (N, T) tastes.
        clock: that of day people unless told.
        different: columns of People that are not the ordinary ones.
    """
    count = len(visits_per_week)
    clock = clocks.of_day_people(draw, count) if clock is None else clock
    # One in ten of the people who like a thing somewhat is moved by a push; the more they like it, the sooner.
    prone = draw.beta(1.0, 9.0, (count, 1))
    persuasion = prone * likes / (likes + 0.1)
    liking = likes + persuasion
    ordinary: dict[str, Any] = {
        "kinds": (kind,),
        "kind": np.zeros(count, np.int64),
        "visits_per_week": visits_per_week,
        "opens_per_week": 0.7 * visits_per_week,
        "hours": clock.hours,
        "is_awake": clock.is_awake,
        "tastes": likes,
        "later_tastes": likes,
        "changes_at_s": np.full(count, np.inf),
        "change_takes_s": np.zeros(count),
        "joins_at_s": np.full(count, BEGIN_S),
        "invited_at_s": np.full(count, BEGIN_S),
        "persuasion": persuasion,
        "annoyance": np.zeros(count),
        "tiring": np.full(count, 0.15),
        "recovery_s": 10.0 * DAY_S * draw.lognormal(0.0, 0.5, count),
        "views_per_week": 0.3 * visits_per_week[:, None] * liking / np.maximum(liking.sum(axis=1, keepdims=True), 1e-9),
        "dismissal": np.full(count, 0.03),
        "veto": np.where(liking < 0.005, 0.03, 0.0),
    }
    return People(**(ordinary | different))


def ordinary(draw: np.random.Generator, count: int, popular: F64) -> People:
    """Regulars: two and a half visits a week in the median."""
    return folk("ordinary", draw, visits(draw, count), tastes(draw, count, popular))


def visits(draw: np.random.Generator, count: int, median: float = 2.5) -> F64:
    """(N,) visits a week, lognormal."""
    return median * draw.lognormal(0.0, 0.6, count)
