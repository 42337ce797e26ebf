"""At which local hour of the week to reach a person: their own rhythm, shrunk to that of the population.

For each hour h of the week the score is (n6(h) + HORIZON_WEIGHT n72(h)) r(h) / (r(h) + WAKING): expected visits within 6 and 72 hours
after h, from visits smoothed over neighbouring hours on the circle of the week, the same kind of day, and all days; and r(h), the
smoothed visits in the hour itself relative to the mean hour: at hours when hardly any visit ever was the person is asleep, however soon
they will come. Visits of the population count as PSEUDO_VISITS of the person's own. The hour is drawn by softmax over the score relative
to the best, with a floor.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels import moments
from bandits.rhythm import HOURS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PSEUDO_VISITS: Final = 5.0

_HOUR_DEVIATION: Final = 1.5
_SAME_DAY, _SAME_KIND, _ANY_DAY = 0.4, 0.3, 0.3


class Moments(NamedTuple):
    """Hours of the week and their probabilities, (people,) each; -1 and 0 where no hour was allowed.

    `unreadable` is how many people's visits were no counts; they count as never having come.
    """

    hours: I64
    propensities: F64
    unreadable: int


@lru_cache(maxsize=1)
def smoothing() -> F64:
    """(168, 168): how much a visit in one hour (row) says of another (column); rows sum to one.

    First to the hours around it on the circle of the week, so that what is near midnight is near the next day; then to those of other days.
    """
    apart = np.abs(np.arange(HOURS)[:, None] - np.arange(HOURS)[None])
    nearby = np.exp(-0.5 * (np.minimum(apart, HOURS - apart) / _HOUR_DEVIATION) ** 2)
    nearby /= nearby.sum(axis=1, keepdims=True)
    is_weekend = np.arange(7) >= 5
    same_kind = is_weekend[:, None] == is_weekend[None]
    days = _SAME_DAY * np.eye(7) + _SAME_KIND * same_kind / same_kind.sum(axis=1, keepdims=True) + _ANY_DAY / 7
    both: F64 = nearby @ np.kron(days, np.eye(24))
    both.flags.writeable = False
    return both


def of_all(hour_shares: F32) -> F64:
    """What the population adds to everyone's smoothed visits, (168,), from its share of visits by hour (168,)."""
    visits: F64 = PSEUDO_VISITS * hour_shares.astype(np.float64)
    return visits


def draw(visits: F32, hour_shares: F32, is_allowed: Flags, clock: I64, uniforms: F64) -> Moments:
    """One hour a person.

    Args:
        visits: (people, 168) own visits by local hour of the week, decayed.
        hour_shares: (168,) the population's share of visits by hour; sums to one.
        is_allowed: (clocks, 168) hours that may be used.
        clock: (people,) which row of `is_allowed` holds for each.
        uniforms: (people,) in (0, 1).
    """
    hours, propensities = np.empty(len(visits), np.int64), np.empty(len(visits))
    unreadable = moments.draw_hours(
        visits, clock, uniforms, is_allowed, smoothing(), of_all(hour_shares), hours, propensities
    )
    return Moments(hours, propensities, unreadable)
