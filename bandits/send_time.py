"""At which local hour of the week to reach a person: their own rhythm, shrunk to that of the population.

For each hour h of the week the score is (n6(h) + HORIZON_WEIGHT n72(h)) r(h) / (r(h) + WAKING): expected visits within 6 and 72 hours
after h, from visits smoothed over neighbouring hours on the circle of the week, the same kind of day, and all days; and r(h), the
smoothed visits in the hour itself relative to the mean hour: at hours when hardly any visit ever was the person is asleep, however soon
they will come. Visits of the population count as PSEUDO_VISITS of the person's own. The hour is drawn by softmax over the score relative
to the best, with a floor.
"""

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from bandits.rhythm import HOURS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

SOON_H: Final = 6
HORIZON_H: Final = 72
HORIZON_WEIGHT: Final = 0.12
PSEUDO_VISITS: Final = 5.0

WAKING: Final = 0.1
"""Hours with fewer visits than this share of the mean count as asleep, gradually. On the grocery year 0, .1 and .25 give opens of 1.032, 1.035 and
1.031 times usual; in worlds whose people sleep at night it keeps pushes from them (docs/simulation.md)."""

TEMPERATURE: Final = 0.002
FLOOR: Final = 0.005
"""Probability spread evenly over all allowed hours."""

_HOUR_DEVIATION: Final = 1.5
_SAME_DAY, _SAME_KIND, _ANY_DAY = 0.4, 0.3, 0.3


@lru_cache(maxsize=1)
def _smoothing() -> F64:
    """(168, 168): how much a visit in one hour (row) says of another (column); rows sum to one.

    First to the hours around it on the circle of the week, so that what is near midnight is near the next day; then to those of other days.
    """
    apart = np.abs(np.arange(HOURS)[:, None] - np.arange(HOURS)[None])
    nearby = np.exp(-0.5 * (np.minimum(apart, HOURS - apart) / _HOUR_DEVIATION) ** 2)
    nearby /= nearby.sum(axis=1, keepdims=True)
    is_weekend = np.arange(7) >= 5
    same_kind = is_weekend[:, None] == is_weekend[None]
    days = _SAME_DAY * np.eye(7) + _SAME_KIND * same_kind / same_kind.sum(axis=1, keepdims=True) + _ANY_DAY / 7
    smoothing: F64 = nearby @ np.kron(days, np.eye(24))
    return smoothing


@lru_cache(maxsize=1)
def _ahead() -> F64:
    """(168, 168): column h adds up the hours of the two windows that begin at h, each with its weight."""
    ahead = np.zeros((HOURS, HOURS))
    for hour in range(HOURS):
        ahead[(hour + np.arange(SOON_H)) % HOURS, hour] += 1.0
        ahead[(hour + np.arange(HORIZON_H)) % HOURS, hour] += HORIZON_WEIGHT
    return ahead


@lru_cache(maxsize=1)
def _smooth_ahead() -> F64:
    return _smoothing() @ _ahead()


def scores(visits: F32, hour_shares: F32) -> F64:
    """The score of every hour for each person.

    Args:
        visits: (people, 168) own visits by local hour of the week, decayed.
        hour_shares: (168,) the population's share of visits by hour; sums to one.

    Returns:
        (people, 168).
    """
    own, of_all = visits.astype(np.float64), PSEUDO_VISITS * hour_shares.astype(np.float64)
    ahead = own @ _smooth_ahead() + of_all @ _ahead()
    visited = own @ _smoothing() + of_all
    waking: F64 = visited / (visited + WAKING * visited.mean(axis=1, keepdims=True))
    return ahead * waking


def pmf(score: F64, is_allowed: npt.NDArray[np.bool_]) -> F64:
    """The probability of each hour, (people, 168): zero where not allowed, at least FLOOR / allowed hours elsewhere.

    Args:
        score: (people, 168) as `scores` gives them, not negative.
        is_allowed: (people, 168) or (168,) hours that may be used; at least one a person.
    """
    allowed = np.broadcast_to(is_allowed, score.shape)
    best = np.where(allowed, score, -np.inf).max(axis=1, keepdims=True)
    relative = np.where(allowed, score / np.maximum(best, 1e-12) - 1.0, -np.inf)
    weights = np.exp(relative / TEMPERATURE)
    weights /= weights.sum(axis=1, keepdims=True)
    floored: F64 = (1.0 - FLOOR) * weights + FLOOR * allowed / allowed.sum(axis=1, keepdims=True)
    return floored


def draw(probabilities: F64, uniforms: F64) -> npt.NDArray[np.int64]:
    """One hour a person, (people,), from (people, 168) probabilities and (people,) numbers in (0, 1); never one of probability 0."""
    cumulative = np.cumsum(probabilities, axis=1)
    hours = (cumulative < uniforms[:, None] * cumulative[:, -1:]).sum(axis=1)
    last = HOURS - 1 - np.argmax(probabilities[:, ::-1] > 0.0, axis=1)
    drawn: npt.NDArray[np.int64] = np.minimum(hours, last)
    return drawn
