"""A world: its people, its offers, and what there is to gain in it."""

from typing import NamedTuple

import numpy as np

from bandits.simulation.people import Flags, People
from bandits.simulation.week import F64

WINDOW_S = 72 * 3600.0
"""An offer is redeemed, and its effect on purchases is over, within this time."""


class Offers(NamedTuple):
    """K offers; offer k is about thing k. Per piece: price, margin before the discount, discount, each (K,), in one currency.

    begins_s is (K,), when the offer first runs.
    """

    price: F64
    margin: F64
    discount: F64
    begins_s: F64

    def run_at(self, at_s: float) -> Flags:
        """(K,)."""
        running: Flags = self.begins_s <= at_s
        return running


class Goal(NamedTuple):
    """What a decision is worth: redemptions, or the margin they add; less the price of the attention a push takes."""

    is_incremental: bool = False
    attention_price: float = 0.0


class World(NamedTuple):
    """People and offers over some weeks.

    Nothing is decided before decides_from_s. With is_push each person gets one push a week at most; else the offer is decided whenever
    the app is opened. What the till saw is told at once, or at noon every told_every_s;
    with has_given_moments every policy's push comes at an hour of the person's own, for then the moment is not what is judged.
    """

    name: str
    seed: int
    people: People
    offers: Offers
    decides_from_s: float
    ends_s: float
    is_push: bool
    goal: Goal
    told_every_s: float = 0.0
    holdout_share: float = 0.0
    has_given_moments: bool = False

    @property
    def size(self) -> int:
        """Number of people."""
        return len(self.people.kind)

    def generator(self, *stream: int) -> np.random.Generator:
        """Random numbers of a stream of their own, the same for every policy."""
        return np.random.default_rng([self.seed, *stream])
