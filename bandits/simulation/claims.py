"""What a world is there to show, and whether it was shown."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from bandits.simulation.trial import Trial
from bandits.simulation.week import F64

DECILES: Final = 10
WORST: Final = "worst_decile_vs_population"
"""What is asked in every world."""


class Claim(NamedTuple):
    """A figure and what it must be: at least the target, or at most."""

    value: float
    target: float
    is_at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether it does; a figure that could not be measured does not."""
        return self.margin >= 0.0

    @property
    def margin(self) -> float:
        """How far the figure is on the right side of its target."""
        return self.target - self.value if self.is_at_most else self.value - self.target


class Played(NamedTuple):
    """The same world under three policies: the engine, the one that knows everything but the person, and the one that knows all.

    Where answers are late, `at_once` is what the engine would have predicted of each offer it showed, had every answer been known at once.
    """

    engine: Trial
    population: Trial
    oracle: Trial
    at_once: F64 | None = None

    @property
    def three(self) -> tuple[Trial, Trial, Trial]:
        """Engine, population, oracle."""
        return self.engine, self.population, self.oracle


def per_person(trial: Trial, persons: int) -> F64:
    """(N,) mean true worth of a person's decisions, nan for who had none; people of the holdout have none."""
    counted = trial.where(~trial.is_holdout)
    totals = np.bincount(counted.person, counted.value, persons)
    decisions = np.bincount(counted.person, minlength=persons)
    return np.where(decisions > 0, totals / np.maximum(decisions, 1), np.nan)


def deciles(values: F64) -> list[F64]:
    """Indices of the people by tenths, from the least value to the greatest, without those of no value at all (nan)."""
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    return [np.asarray(part) for part in np.array_split(order, DECILES)]


def worst_decile(played: Played) -> Claim:
    """True worth for the tenth of the people whom the engine serves worst, against the tenth whom the population policy serves worst."""
    persons = played.engine.world.size
    worst = [_of_worst(per_person(trial, persons)) for trial in (played.engine, played.population)]
    return Claim(worst[0], worst[1])


def _of_worst(values: F64) -> float:
    return float(values[deciles(values)[0]].mean())


def share(values: Iterable[bool] | np.ndarray) -> float:
    """Mean of flags, nan of none."""
    flags = np.asarray(values, np.float64)
    return float(flags.mean()) if len(flags) else float("nan")
