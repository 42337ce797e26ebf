"""The hour of the week in which to reach each of many people: scores, softmax with a floor, and the draw, person by person.

The formula and its reasons are in bandits.send_time. What is summed in which order depends on the person alone, so nobody's draw
depends on who else is in the batch.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import (
    bool_in,
    bool_in_2d,
    f32_in,
    f32_in_2d,
    f64_in,
    f64_in_2d,
    f64_out,
    i64,
    i64_in,
    i64_out,
    kernel,
    void,
)

HOURS: Final = 168
SOON_H: Final = 6
HORIZON_H: Final = 72
HORIZON_WEIGHT: Final = 0.12

WAKING: Final = 0.1
"""Hours with fewer visits than this share of the mean count as asleep, gradually. On the grocery year 0, .1 and .25 give opens of 1.032, 1.035 and
1.031 times usual; in worlds whose people sleep at night it keeps pushes from them (docs/simulation.md)."""

TEMPERATURE: Final = 0.002
FLOOR: Final = 0.005
"""Probability spread evenly over all allowed hours."""

_NOTHING: Final = -60.0
"""exp of less is lost beside the floor: not a bit of a probability would differ."""


@kernel(void(f32_in, f64_in_2d, f64_in, f64_out))
def score_hours(
    own: NDArray[np.float32], smoothing: NDArray[np.float64], of_all: NDArray[np.float64], score: NDArray[np.float64]
) -> None:
    """Scores of all hours for one person.

    Args:
        own: (168,) visits by hour, not negative.
        smoothing: (168, 168), how much a visit in one hour (row) says of another (column).
        of_all: (168,) what the population adds to every person's smoothed visits.
        score: (168,) written.
    """
    visited = np.empty(HOURS + HORIZON_H)  # goes on into the next week
    soon = np.zeros(HOURS + HORIZON_H)
    visited[:HOURS] = of_all
    for hour in range(HOURS):
        times = float(own[hour])
        if times != 0.0:
            for other in range(HOURS):
                visited[other] += times * smoothing[hour, other]
    mean = 0.0
    for hour in range(HOURS):
        mean += visited[hour] / HOURS
    visited[HOURS:] = visited[:HORIZON_H]
    for ahead in range(SOON_H):
        for hour in range(HOURS):
            soon[hour] += visited[hour + ahead]
    soon[HOURS:] = soon[:HORIZON_H]
    score[:] = soon[:HOURS]
    for ahead in range(0, HORIZON_H, SOON_H):
        for hour in range(HOURS):
            score[hour] += HORIZON_WEIGHT * soon[hour + ahead]
    for hour in range(HOURS):
        score[hour] *= visited[hour] / (visited[hour] + WAKING * mean)


@kernel(i64(f64_in, bool_in, f64_out))
def hour_pmf(score: NDArray[np.float64], is_allowed: NDArray[np.bool_], pmf: NDArray[np.float64]) -> int:
    """The probability of each hour, (168,) into `pmf`: zero where not allowed, at least FLOOR / allowed hours elsewhere.

    Returns:
        How many hours are allowed; with none the pmf is all zero.
    """
    allowed, best = 0, 1e-12
    for hour in range(HOURS):
        if is_allowed[hour]:
            allowed += 1
            best = max(best, score[hour])
    total = 0.0
    for hour in range(HOURS):
        pmf[hour] = 0.0
        if is_allowed[hour]:
            relative = (score[hour] / best - 1.0) / TEMPERATURE
            if relative > _NOTHING:
                pmf[hour] = math.exp(relative)
                total += pmf[hour]
    for hour in range(HOURS):
        if is_allowed[hour]:
            pmf[hour] = (1.0 - FLOOR) * (pmf[hour] / total) + FLOOR / allowed
    return allowed


@kernel()
def _are_counts(visits: NDArray[np.float32]) -> bool:
    are_counts = True
    for hour in range(HOURS):
        are_counts &= 0.0 <= visits[hour] < np.inf
    return are_counts


@kernel()
def _drawn(pmf: NDArray[np.float64], uniform: float) -> int:
    """The first hour at which the cumulated pmf reaches its share of the total; never one of probability 0."""
    total = 0.0
    for hour in range(HOURS):
        total += pmf[hour]
    reached, last = 0.0, -1
    for hour in range(HOURS):
        reached += pmf[hour]
        if pmf[hour] > 0.0:
            last = hour
            if reached >= uniform * total:
                break
    return last


@kernel(i64(f32_in_2d, i64_in, f64_in, bool_in_2d, f64_in_2d, f64_in, i64_out, f64_out))
def draw_hours(
    visits: NDArray[np.float32],
    clock: NDArray[np.int64],
    uniforms: NDArray[np.float64],
    is_allowed: NDArray[np.bool_],
    smoothing: NDArray[np.float64],
    of_all: NDArray[np.float64],
    hours: NDArray[np.int64],
    propensities: NDArray[np.float64],
) -> int:
    """One hour a person and its probability.

    Args:
        visits: (people, 168). Who has one that is not a number, infinite or negative counts as never having come.
        clock: (people,) the row of `is_allowed` that holds for each.
        uniforms: (people,) in (0, 1).
        is_allowed: (clocks, 168).
        smoothing: (168, 168), as score_hours takes it.
        of_all: (168,), as score_hours takes it.
        hours: (people,) written; -1 for whom no hour is allowed.
        propensities: (people,) written.

    Returns:
        How many people's visits were no counts.
    """
    score, pmf, nobody = np.empty(HOURS), np.empty(HOURS), np.zeros(HOURS, np.float32)
    damaged = 0
    for person in range(visits.shape[0]):
        if _are_counts(visits[person]):
            score_hours(visits[person], smoothing, of_all, score)
        else:
            score_hours(nobody, smoothing, of_all, score)
            damaged += 1
        hours[person], propensities[person] = -1, 0.0
        if hour_pmf(score, is_allowed[clock[person]], pmf) > 0:
            hours[person] = _drawn(pmf, uniforms[person])
            propensities[person] = pmf[hours[person]]
    return damaged
