"""The truth in closed form: the probability of a purchase with and without an offer, and what a decision is worth.

Baskets come as a Poisson process and hold a thing with a probability, so purchases of the thing are a Poisson process too: with
expected purchases L over the window, nothing is bought with probability exp(-L). A noticed offer persuades with probability q whoever
would not buy, and keeps each purchase from happening with probability a: bought then with probability 1 - (1 - q) exp(-(1 - a) L).
"""

from typing import Final, NamedTuple

import numpy as np

from bandits.simulation.people import People
from bandits.simulation.purchases import rates
from bandits.simulation.week import F64, HOUR_S, I64, Span, hour_of_week
from bandits.simulation.world import WINDOW_S, World

NOTICES_AWAKE: Final = 0.9
NOTICES_ASLEEP: Final = 0.3
"""A push that came in the night lies under the others in the morning."""


class Chances(NamedTuple):
    """For P people and K offers, (P, K): bought in the window when nothing is sent, bought when it is sent, redeemed (noticed and bought)."""

    organic: F64
    sent: F64
    redeemed: F64


def expected_purchases(people: People, persons: I64, at_s: float, window_s: float = WINDOW_S) -> F64:
    """(P, T) expected purchases of each thing in (at_s, at_s + window_s] of people left alone."""
    span = Span(at_s, at_s + window_s)
    visits = rates(people, persons, people.visits_per_week, span)
    changed = people.changed(persons, span.begins_s + HOUR_S / 2)
    before, after = (visits * (1.0 - changed)).sum(axis=1), (visits * changed).sum(axis=1)
    expected: F64 = before[:, None] * people.tastes[persons] + after[:, None] * people.later_tastes[persons]
    return expected


def notices(world: World, persons: I64, at_s: float) -> F64:
    """(P,) probability of noticing the offer; who has opened the app always does."""
    if not world.is_push:
        return np.ones(len(persons))
    return np.where(world.people.is_awake[persons, hour_of_week(at_s)], NOTICES_AWAKE, NOTICES_ASLEEP)


def chances(world: World, persons: I64, at_s: float, receptivity: F64) -> Chances:
    """Of every offer at an instant, for people of that receptivity (P,), 1 when rested."""
    people, count = world.people, len(world.offers.price)
    expected = expected_purchases(people, persons, at_s)[:, :count]
    organic = -np.expm1(-expected)
    persuaded = people.persuasion[persons, :count] * receptivity[:, None]
    noticed = 1.0 - (1.0 - persuaded) * np.exp(-(1.0 - people.annoyance[persons, None]) * expected)
    seen = notices(world, persons, at_s)[:, None]
    return Chances(organic, seen * noticed + (1.0 - seen) * organic, seen * noticed)


def values(world: World, chance: Chances) -> F64:
    """(P, K) what it is worth to send each offer, against sending nothing."""
    offers, goal = world.offers, world.goal
    if not goal.is_incremental:
        return chance.redeemed - goal.attention_price
    gained: F64 = offers.margin * (chance.sent - chance.organic) - offers.discount * chance.redeemed
    return gained - goal.attention_price
