"""What the chosen moments are worth by themselves: opens beside those of the population's best hour and of any hour, and who is pushed at night.

Whether a push is opened depends on its moment alone here, not on its deal. Compared are the household-weeks in which the engine sent.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.demo import bootstrap, local_week, references
from service.demo.bootstrap import Ratio
from service.demo.local_week import Ints
from service.demo.scoring import Pushes
from service.demo.world import Flags, World

NIGHT_FROM_H: Final = 22
NIGHT_UNTIL_H: Final = 6
NIGHT_SHARE: Final = 0.3
"""Of a night household's baskets at night, which is more than four times the share of all."""
BASKETS_MIN: Final = 10
"""Before the week: of fewer it cannot be said when a household shops."""

F64 = NDArray[np.float64]


class Opens(msgspec.Struct, frozen=True, kw_only=True):
    """Opens a push at three moments of the same household-weeks; None where there is no push."""

    pushes: int
    chosen: float | None
    best_hour: float | None
    random_hour: float | None
    vs_best_hour: Ratio
    vs_random_hour: Ratio


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Opens by moment, of everybody and of those who shop at night; and the share of pushes that the engine sent at night.

    `sent_by_hour` counts its pushes by hour of the local day, and `sent_by_hour_to_night_households` those to people who shop at night.
    """

    everyone: Opens
    night_households: Opens
    sent_at_night: float | None
    sent_at_night_to_night_households: float | None
    sent_by_hour: list[int]
    sent_by_hour_to_night_households: list[int]


class _Chances(msgspec.Struct, frozen=True):
    """(H, W) whether a push at the moment is opened: chosen, the population's best hour, and the mean of all hours of the week."""

    chosen: F64
    best: F64
    mean: F64


def compare(world: World, engine: Pushes, seed: int) -> Moments:
    """Judges the engine's moments by the real baskets."""
    sent = engine.sent()
    nocturnal = sent & is_nocturnal(world)
    chances = _chances(world, engine)
    hours = local_week.hours_of_week(engine.at_s)
    at_night = sent & _at_night(hours)
    return Moments(
        everyone=_opens(chances, sent, seed),
        night_households=_opens(chances, nocturnal, seed),
        sent_at_night=_share(at_night, sent),
        sent_at_night_to_night_households=_share(at_night, nocturnal),
        sent_by_hour=_by_hour(hours[sent]),
        sent_by_hour_to_night_households=_by_hour(hours[nocturnal]),
    )


def is_nocturnal(world: World) -> Flags:
    """(H, W) whether the household shops at night, by its baskets before the week."""
    night = _at_night(np.arange(local_week.HOURS))
    found = np.zeros((world.households, world.weeks), np.bool_)
    for household in range(world.households):
        hours = world.hours(household)
        baskets = hours.sum(axis=1)
        found[household] = (baskets >= BASKETS_MIN) & (hours[:, night].sum(axis=1) >= NIGHT_SHARE * baskets)
    return found


def _at_night(hours_of_week: Ints) -> Flags:
    hours = hours_of_week % 24
    found: Flags = (hours >= NIGHT_FROM_H) | (hours < NIGHT_UNTIL_H)
    return found


def _chances(world: World, engine: Pushes) -> _Chances:
    best_s = references.popular(world).at_s
    every_s = world.instants_s[: world.weeks].ravel()
    shape = (world.households, world.weeks)
    chosen, best, mean = (np.empty(shape) for _ in range(3))
    for household in range(world.households):
        ledger = world.ledger(household)
        chosen[household] = ledger.opens(engine.at_s[household])
        best[household] = ledger.opens(best_s[household])
        mean[household] = ledger.opens(every_s).reshape(world.weeks, local_week.HOURS).mean(axis=1)
    return _Chances(chosen, best, mean)


def _by_hour(hours_of_week: Ints) -> list[int]:
    counts: list[int] = np.bincount(hours_of_week % 24, minlength=24).tolist()
    return counts


def _opens(chances: _Chances, of: Flags, seed: int) -> Opens:
    chosen, best, mean = (one * of for one in (chances.chosen, chances.best, chances.mean))
    pushes = int(np.count_nonzero(of))
    return Opens(
        pushes=pushes,
        chosen=_mean(chosen, pushes),
        best_hour=_mean(best, pushes),
        random_hour=_mean(mean, pushes),
        vs_best_hour=bootstrap.ratio(chosen, best, seed),
        vs_random_hour=bootstrap.ratio(chosen, mean, seed),
    )


def _mean(values: F64, count: int) -> float | None:
    return float(values.sum()) / count if count else None


def _share(found: Flags, among: Flags) -> float | None:
    total = int(np.count_nonzero(among))
    return int(np.count_nonzero(found & among)) / total if total else None
