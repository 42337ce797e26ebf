"""Regret against the policy that knows everything, by tenths of the people: who pays for what was not known."""

from typing import NamedTuple

import numpy as np

from bandits.simulation.claims import Played, deciles, per_person
from bandits.simulation.week import F64


class Decile(NamedTuple):
    """Means over a tenth of the people (the first has least to gain): true worth of a decision under three policies, and the regret."""

    people: int
    oracle: float
    engine: float
    population: float
    regret: float


def by_decile(played: Played) -> list[Decile]:
    """The people ordered by what was to be gained of them, so by truth and not by luck."""
    persons = played.engine.world.size
    engine, population, oracle = (per_person(trial, persons) for trial in played.three)
    # Without those of whom one of the three had nothing to decide.
    compared = np.where(np.isfinite(engine) & np.isfinite(population), oracle, np.nan)
    return [_decile(tenth, oracle, engine, population) for tenth in deciles(compared)]


def _decile(tenth: F64, oracle: F64, engine: F64, population: F64) -> Decile:
    best, ours, blind = (float(values[tenth].mean()) for values in (oracle, engine, population))
    return Decile(len(tenth), best, ours, blind, best - ours)
