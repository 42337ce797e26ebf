"""Answers that are told at age a and instant t at the rate b(a) r(t): how many are expected when, and the share that has been told.

b is constant within each age bucket, r within each hour of the week; ages and instants are in hours, instants since the beginning of a week.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f64, f64_in, f64_in_2d, f64_out, f64_out_2d, kernel, void

F64 = NDArray[np.float64]

_WEEK = 168


@kernel()
def _passed(since: F64, rhythm: F64, at: float) -> float:
    """Integral of r from instant 0 until `at`."""
    weeks = math.floor(at / _WEEK)
    hours = at - weeks * _WEEK
    hour = min(int(hours), _WEEK - 1)
    passed: float = weeks * since[_WEEK] + since[hour] + (hours - hour) * rhythm[hour]
    return passed


@kernel(void(f64_in, f64_in, f64_in, f64_in, f64, f64_out))
def shares_told(edges: F64, rates: F64, rhythm: F64, exposed: F64, now: float, shares: F64) -> None:
    """The share of the answers of each exposure that has been told by now.

    Args:
        edges: (buckets + 1,) ages between which the buckets lie, from 0.
        rates: (buckets,) b; a sum above 0.
        rhythm: (168,) r, above 0.
        exposed: (n,) instants of the exposures.
        now: the same of now.
        shares: (n,) out.
    """
    since = np.zeros(_WEEK + 1)
    for hour in range(_WEEK):
        since[hour + 1] = since[hour] + rhythm[hour]
    for i in range(exposed.shape[0]):
        come, whole = 0.0, 0.0
        by_now = _passed(since, rhythm, now)
        before = _passed(since, rhythm, exposed[i])
        for k in range(rates.shape[0]):
            after = _passed(since, rhythm, exposed[i] + edges[k + 1])
            whole += rates[k] * (after - before)
            come += rates[k] * (min(after, by_now) - min(before, by_now))
            before = after
        shares[i] = min(come / whole, 1.0)


@kernel(lanes=True)
def _spread(answers: float, at_lag: F64, rhythm: F64, seen: F64, came: F64) -> None:
    """Spread the answers of one part of an hour over the hours after it."""
    whole = 0.0
    for lag in range(at_lag.shape[0]):
        whole += at_lag[lag] * rhythm[lag]
    each = answers / whole
    for lag in range(at_lag.shape[0]):
        seen[lag] += each * rhythm[lag]
        came[lag] += each * rhythm[lag] * at_lag[lag]


@kernel(void(f64_in, f64_in_2d, f64_in, f64_out_2d, f64_out))
def expected_told(exposures: F64, at_lag: F64, rhythm: F64, seen: F64, by_hour: F64) -> None:
    """Of answers whose exposures are known by part of an hour of the week: how many were to be told in each hour of the week.

    Args:
        exposures: (168 * n,) answers by the part of the week their exposure was in, n to the hour; all of them have been told.
        at_lag: (n, lags) integral of b over a clock hour, by how many full hours that begins after that of the exposure.
        rhythm: (168,) r.
        seen: (n, lags) out: what one unit of that integral is expected to bring.
        by_hour: (168,) out.
    """
    n, lags = at_lag.shape
    ahead, came = np.empty(_WEEK + lags), np.zeros(_WEEK + lags)  # the week and its beginning once more
    for hour in range(_WEEK + lags):
        ahead[hour] = rhythm[hour % _WEEK]
    seen[:] = 0.0
    for i in range(exposures.shape[0]):
        if exposures[i] != 0.0:
            hour, part = i // n, i % n
            _spread(exposures[i], at_lag[part], ahead[hour : hour + lags], seen[part], came[hour : hour + lags])
    by_hour[:] = 0.0
    for hour in range(_WEEK + lags):
        by_hour[hour % _WEEK] += came[hour]
