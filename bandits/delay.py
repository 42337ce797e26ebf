"""Rewards that are still under way: cohorts of exposures, and the share of their rewards that has come by an age.

F_h(a), the share of the rewards of head h that arrive by age a, is learned from closed windows. A reward counts at once, while what is
expected of an exposure counts only as far as its answer could have come, F_h times: so the two balance at every age, and young exposures
do not drag the estimate down.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

WINDOWS_S: Final = (6 * 3600.0, 72 * 3600.0)
"""Attribution window of each head (schema.snapshot.HEADS): a reward later than this after the exposure is not the offer's."""

WINDOW_S: Final = max(WINDOWS_S)

COHORT_S: Final = 6 * 3600.0
"""Exposures of the same six hours share sums, and so an age."""

CLOSED: Final = -1
"""The cohort that holds all exposures whose window has passed."""

AGE_EDGES_S: Final = tuple(3600.0 * hours for hours in (1, 3, 6, 12, 24, 36, 48, 60, 72))
"""Ends of the age buckets in which the arrival of rewards is counted."""

ARRIVALS_PRIOR: Final = 1.0
"""Pseudo-rewards spread over the window in proportion to time, until real ones have been counted."""


def cohort_of(exposed_at_s: float) -> int:
    """The cohort an exposure of that instant belongs to."""
    return int(exposed_at_s // COHORT_S)


def is_closed(cohort: int, now_s: float) -> bool:
    """Whether the windows of all exposures of the cohort have passed."""
    return (cohort + 1) * COHORT_S + WINDOW_S <= now_s


def cohorts_at(exposed_at_s: F64, now_s: float) -> npt.NDArray[np.int64]:
    """The cohort of each exposure as of now_s, CLOSED where its window has passed; (n,)."""
    cohorts = (exposed_at_s // COHORT_S).astype(np.int64)
    return np.where((cohorts + 1) * COHORT_S + WINDOW_S <= now_s, CLOSED, cohorts)


def buckets(age_s: F64) -> npt.NDArray[np.int64]:
    """The age bucket of each reward; the caller has checked its window."""
    return np.searchsorted(AGE_EDGES_S, np.minimum(age_s, WINDOW_S)).astype(np.int64)


def arrived_shares(arrivals: F64, window_s: float) -> F64:
    """F_h at the end of each age bucket, (buckets,), from decayed counts of rewards by age in closed windows of window_s."""
    widths = np.diff(np.minimum((0.0, *AGE_EDGES_S), window_s))
    counts = arrivals + ARRIVALS_PRIOR * widths / window_s
    shares: F64 = np.cumsum(counts) / counts.sum()
    return shares


def maturity(cohort: int, arrived: F64, now_s: float) -> float:
    """F_h at the mean age of the cohort's exposures (of those so far, while it fills), linear between the edges of the buckets."""
    if cohort == CLOSED:
        return 1.0
    begin_s = cohort * COHORT_S
    age_s = max(now_s - begin_s - COHORT_S / 2, (now_s - begin_s) / 2)
    return float(np.interp(age_s, (0.0, *AGE_EDGES_S), (0.0, *arrived)))


def indexed(cohorts: npt.NDArray[np.int64]) -> tuple[list[int], npt.NDArray[np.int64]]:
    """The cohorts from the first to the last, and the place of each row's among them, (n,)."""
    is_open = cohorts != CLOSED
    if not is_open.any():
        return [CLOSED], np.zeros(len(cohorts), np.int64)
    first, last = int(cohorts[is_open].min()), int(cohorts.max())
    return [CLOSED, *range(first, last + 1)], np.where(is_open, cohorts - first + 1, 0)


def maturities(cohorts: npt.NDArray[np.int64], arrived: F64, now_s: float) -> F64:
    """`maturity` of each row's cohort, (n,)."""
    found, place = indexed(cohorts)
    return np.array([maturity(cohort, arrived, now_s) for cohort in found])[place]
