"""Rewards that are still under way: cohorts of exposures, and the share of their rewards that has come by an age.

F_h(a), the share of the rewards of head h that arrive by age a, is learned from closed windows. A reward counts at once, while what is
expected of an exposure counts only as far as its answer could have come, F_h times: so the two balance at every age, and young exposures
do not drag the estimate down.

Sums hold F at one age for all of a cohort, the mean of its exposures. So a cohort is an hour long while F is steep (docs/decisions/0005 has
what is left of the error), and joins the others of its six hours when the youngest of these is six hours old.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

WINDOWS_S: Final = (6 * 3600.0, 72 * 3600.0)
"""Attribution window of each head (schema.snapshot.HEADS): a reward later than this after the exposure is not the offer's."""

WINDOW_S: Final = max(WINDOWS_S)

YOUNG_S: Final = 3600.0
"""Young exposures of the same hour share sums, and so an age."""

BLOCK_S: Final = 6 * 3600.0
"""Older ones those of the same six hours."""

OLDER_S: Final = 6 * 3600.0
"""When a block has ended this long ago it is older."""

CLOSED: Final = -1
"""The cohort that holds all exposures whose window has passed. Any other is a block of six hours by its number, or an hour."""

_HOURLY: Final = 1 << 20
"""Plus its number: a cohort of one hour."""


AGE_EDGES_S: Final = tuple(3600.0 * hours for hours in (0.25, 0.5, 1, 2, 3, 4.5, 6, 12, 24, 36, 48, 60, 72))
"""Ends of the age buckets in which the arrival of rewards is counted: fine where most of them come."""

ARRIVALS_PRIOR: Final = 1.0
"""Pseudo-rewards spread over the window in proportion to time, until real ones have been counted."""


def cohort_at(exposed_at_s: float, now_s: float) -> int:
    """The cohort an exposure of that instant belongs to by now_s."""
    return settled(_HOURLY + int(exposed_at_s // YOUNG_S), now_s)


def settled(cohort: int, now_s: float) -> int:
    """The cohort that the exposures of this one belong to by now_s: itself, until it is older."""
    if cohort == CLOSED:
        return CLOSED
    begin_s, _ = span_s(cohort)
    block = int(begin_s // BLOCK_S)
    end_s = (block + 1) * BLOCK_S
    if end_s + WINDOW_S <= now_s:
        return CLOSED
    return block if end_s + OLDER_S <= now_s else cohort


def span_s(cohort: int) -> tuple[float, float]:
    """First instant of a cohort that is not closed, and the first after it."""
    number, width_s = (cohort - _HOURLY, YOUNG_S) if cohort >= _HOURLY else (cohort, BLOCK_S)
    return number * width_s, (number + 1) * width_s


def since_block_s(exposed_at_s: F64) -> F64:
    """How long after the beginning of its block each exposure was: what sums keep, for it adds up over all cohorts of a block."""
    since: F64 = np.mod(exposed_at_s, BLOCK_S)
    return since


def mean_exposed_s(cohort: int, weight: float, since: float) -> float:
    """The mean instant of a cohort's exposures, from the sums of their weights and of weight times `since_block_s`."""
    begin_s, end_s = span_s(cohort)
    if weight <= 0.0:
        return (begin_s + end_s) / 2
    # What is left by rounding when everything was taken back is no instant of this cohort.
    return min(max(begin_s // BLOCK_S * BLOCK_S + since / weight, begin_s), end_s)


def cohorts_at(exposed_at_s: F64, now_s: float) -> npt.NDArray[np.int64]:
    """The cohort of each exposure as of now_s; (n,)."""
    blocks = (exposed_at_s // BLOCK_S).astype(np.int64)
    ended_s = now_s - (blocks + 1) * BLOCK_S
    hours = _HOURLY + (exposed_at_s // YOUNG_S).astype(np.int64)
    return np.where(ended_s >= WINDOW_S, CLOSED, np.where(ended_s >= OLDER_S, blocks, hours))


def buckets(age_s: F64) -> npt.NDArray[np.int64]:
    """The age bucket of each reward; the caller has checked its window."""
    return np.searchsorted(AGE_EDGES_S, np.minimum(age_s, WINDOW_S)).astype(np.int64)


def arrived_shares(arrivals: F64, window_s: float) -> F64:
    """F_h at the end of each age bucket, (buckets,), from decayed counts of rewards by age in closed windows of window_s."""
    widths = np.diff(np.minimum((0.0, *AGE_EDGES_S), window_s))
    came = np.cumsum(arrivals + ARRIVALS_PRIOR * widths / window_s)
    shares: F64 = came / came[-1]
    return shares


def maturities(age_s: F64, arrived: F64) -> F64:
    """F_h at each age, (n,), linear between the edges of the buckets; exactly 1 when the window has passed."""
    shares: F64 = np.interp(age_s, (0.0, *AGE_EDGES_S), (0.0, *arrived))
    return shares
