"""The policies the engine is measured against, on the same households and weeks, from past data only.

The moment of a week is chosen by what is known when the week begins, the deal by what is known at that moment. *popular* and
*usual_six_hours* choose their hour for the six hours in which a push is opened: the hour h that has the most basket starts in
[h, h + 6), which is stronger than the single busiest hour, that of *usual*.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from service.demo.local_week import HOURS, Ints
from service.demo.scoring import Pushes, none_sent
from service.demo.world import World

_WINDOW_H: Final = 6


def choose_all(world: World, seed: int) -> dict[str, Pushes]:
    """Every reference that need not know the engine's moments, by its name; service.demo.supervised is the other one."""
    return {
        "random": random(world, seed),
        "popular": popular(world),
        "usual": usual(world),
        "usual_six_hours": usual_six_hours(world),
    }


def random(world: World, seed: int) -> Pushes:
    """Any hour of the week and any deal, all equally likely."""
    draw = np.random.default_rng(seed)
    shape = (world.households, world.weeks)
    hours = draw.integers(0, HOURS, shape)
    return Pushes(_moments(world, hours), draw.integers(0, len(world.deals), shape))


def popular(world: World) -> Pushes:
    """To everyone the same: the best-seller so far, at the population's best hour so far."""
    hours = six_hours(world.population_hours()).argmax(axis=1)
    moments_s = world.instants_s[np.arange(world.weeks), hours]
    best = world.population_bought(moments_s).argmax(axis=1)
    shape = (world.households, world.weeks)
    return Pushes(np.broadcast_to(moments_s, shape).copy(), np.broadcast_to(best, shape).copy())


def usual(world: World) -> Pushes:
    """The household's own most frequent category so far, at its own most frequent hour of the week so far.

    What is equal for the household, as everything is for one without a past, is decided by the population up to that week.
    """
    return _own(world, single_hours)


def usual_six_hours(world: World) -> Pushes:
    """As *usual*, but at the beginning of its own best six hours."""
    return _own(world, six_hours)


def _own(world: World, within: Callable[[Ints], Ints]) -> Pushes:
    chosen = none_sent(world)
    begins_s = world.instants_s[:-1, 0]
    hours_of_all = within(world.population_hours())
    bought_by_all = world.population_bought(begins_s)
    week = np.arange(world.weeks)
    for household in range(world.households):
        ledger = world.ledger(household)
        own_hours = within(world.hours(household))
        moments_s = world.instants_s[week, _first_by(own_hours, hours_of_all)]
        chosen.at_s[household] = moments_s
        chosen.deals[household] = _first_by(ledger.bought_before(moments_s), bought_by_all)
    return chosen


def single_hours(starts: Ints) -> Ints:
    """(…, 168) basket starts by hour of the week, as they are."""
    return starts


def six_hours(starts: Ints) -> Ints:
    """(…, 168) basket starts by hour of the week -> those in the six hours from each hour on, round the week."""
    round_the_week = np.concatenate([starts, starts[..., : _WINDOW_H - 1]], axis=-1)
    return np.asarray(sum(round_the_week[..., hour : hour + HOURS] for hour in range(_WINDOW_H)), np.int64)


def _first_by(own: Ints, all_of_them: Ints) -> Ints:
    """(W,) where `own` is largest in each row; of equals where `all_of_them` is."""
    combined: Ints = own * (all_of_them.max(axis=1, keepdims=True) + 1) + all_of_them
    return np.asarray(combined.argmax(axis=1), np.int64)


def _moments(world: World, hours: Ints) -> Ints:
    return world.instants_s[np.arange(world.weeks)[None, :], hours]
