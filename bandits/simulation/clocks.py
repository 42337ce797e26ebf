"""When people are awake, and at which hours of the week they come."""

from typing import Final, NamedTuple

import numpy as np

from bandits.simulation.people import Flags
from bandits.simulation.week import F64, HOURS

USUAL_HOURS: Final = (7.5, 12.5, 17.5)
"""On the way to work, at lunch, on the way home: when convenience stores are full."""

ANY_WAKING_HOUR: Final = 0.15
"""Share of the visits that keeps to no habit."""

_DAYS: Final = np.arange(HOURS) // 24
_CLOCK: Final = np.arange(HOURS) % 24 + 0.5
_IS_WEEKEND: Final = _DAYS >= 5


class Clock(NamedTuple):
    """hours (N, 168), rows sum to one; is_awake (N, 168)."""

    hours: F64
    is_awake: Flags


def _apart(hour: F64) -> F64:
    """(N, 168) distance on the clock, in hours, of the middle of each hour of the week from an hour of the day (N, 1)."""
    ahead = np.abs(_CLOCK - hour) % 24
    apart: F64 = np.minimum(ahead, 24 - ahead)
    return apart


def _bump(hour: F64, width_h: float) -> F64:
    bump: F64 = np.exp(-0.5 * (_apart(hour) / width_h) ** 2)
    return bump


def _sleeps(from_hour: F64, hours: float) -> Flags:
    """(N, 168) for those who go to bed at an hour of the day (N, 1)."""
    since: F64 = (_CLOCK - from_hour) % 24
    asleep: Flags = since < hours
    return asleep


def _clock(habit: F64, is_awake: Flags) -> Clock:
    habit = habit * is_awake
    habit /= habit.sum(axis=1, keepdims=True)
    anywhen = is_awake / is_awake.sum(axis=1, keepdims=True)
    return Clock((1.0 - ANY_WAKING_HOUR) * habit + ANY_WAKING_HOUR * anywhen, is_awake)


def of_day_people(draw: np.random.Generator, count: int) -> Clock:
    """To bed about 23:00 for eight hours, an hour later at weekends; two of the usual hours on workdays, about 11:00 at weekends."""
    to_bed = draw.normal(23.0, 0.7, (count, 1)) + _IS_WEEKEND
    first, second = (draw.choice(USUAL_HOURS, (count, 1)) + draw.normal(0.0, 0.7, (count, 1)) for _ in range(2))
    leaning = draw.beta(2.0, 2.0, (count, 1))
    workday = leaning * _bump(first, 1.0) + (1.0 - leaning) * _bump(second, 1.0)
    weekend = _bump(draw.normal(11.0, 1.5, (count, 1)), 2.0)
    return _clock(np.where(_IS_WEEKEND, weekend, workday), ~_sleeps(to_bed, 8.0))


def of_night_workers(draw: np.random.Generator, count: int) -> Clock:
    """Shift from 22:00 to 06:00 on five nights. Asleep from about 08:30 for seven and a half hours, on the two free days from about 03:00.

    They come after the shift, before it, and sometimes in its break at night.
    """
    is_free = draw.integers(0, 7, (count, 1)) == _DAYS
    is_free |= np.roll(is_free, 24, axis=1)
    to_bed = np.where(is_free, draw.normal(3.0, 1.0, (count, 1)), draw.normal(8.5, 0.6, (count, 1)))
    after, before, pause = draw.dirichlet((2.0, 2.0, 1.0), count).T[:, :, None]
    come_home, go_out = draw.normal(6.7, 0.4, (count, 1)), draw.normal(19.5, 1.2, (count, 1))
    working = after * _bump(come_home, 0.6) + before * _bump(go_out, 1.2) + pause * _bump(np.full((count, 1), 2.5), 0.6)
    free = _bump(draw.normal(17.0, 1.5, (count, 1)), 2.0)
    return _clock(np.where(is_free, free, working), ~_sleeps(to_bed, 7.5))
