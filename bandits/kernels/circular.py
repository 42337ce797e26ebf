"""The week as a circle of hours: smoothing a rhythm, and what falls into the hours ahead."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f64, f64_in, f64_out, i64, kernel, void

F64 = NDArray[np.float64]
DAY_HOURS: Final = 24


@kernel()
def _add_turned(x: F64, turn: int, weight: float, out: F64) -> None:
    """out[t] += weight * x[t + turn] around the circle, 0 <= turn < hours; two straight runs instead of a modulo."""
    hours = x.shape[0]
    for t in range(hours - turn):
        out[t] += weight * x[t + turn]
    for t in range(hours - turn, hours):
        out[t] += weight * x[t + turn - hours]


@kernel(void(f64_in, f64_in, f64, f64_out))
def smooth(x: F64, hour_kernel: F64, day_share: float, out: F64) -> None:
    """Smooth over neighbouring hours, then mix with the mean of the same hour on all days.

    Args:
        x: (hours,) a whole number of days, 168 for a week; counts or probabilities.
        hour_kernel: (h + 1,) weights of the hours 0, 1, ..., h away on either side, h < hours; with
            hour_kernel[0] + 2 * (the others) = 1 the total of x is kept.
        day_share: in [0, 1]; 0 keeps the days apart, 1 makes them equal.
        out: (hours,) not the same array as x.
    """
    hours = x.shape[0]
    out[:] = 0.0
    _add_turned(x, 0, hour_kernel[0], out)
    for away in range(1, hour_kernel.shape[0]):
        _add_turned(x, away, hour_kernel[away], out)
        _add_turned(x, hours - away, hour_kernel[away], out)
    days = hours // DAY_HOURS
    for hour in range(DAY_HOURS):
        total = 0.0
        for day in range(days):
            total += out[day * DAY_HOURS + hour]
        for day in range(days):
            t = day * DAY_HOURS + hour
            out[t] += day_share * (total / days - out[t])


@kernel(void(f64_in, i64, f64_out))
def window_sum(x: F64, width: int, out: F64) -> None:
    """out[t] = x[t] + ... + x[t + width - 1] around the circle: the probability of the event within `width` hours.

    Args:
        x: (hours,) the probability that the event falls into each hour; of rates the sum is an expected count.
        width: hours ahead, the hour t itself included; more than a full circle counts as one.
        out: (hours,) not the same array as x.
    """
    out[:] = 0.0
    for turn in range(min(width, x.shape[0])):
        _add_turned(x, turn, 1.0, out)
