"""Rewards that are still under way: cohorts of exposures, and the share of their rewards that has been told by an instant.

A reward counts at once, while what is expected of an exposure counts only as far as its answer could have been told, F times: so the two
balance at every age, and young exposures do not drag the estimate down.

Answers keep the hours of those who give them: shops are busier on some days than on others, nobody comes at night, a till may report once a
day. Of a Monday's exposures another share has been told after two days than of a Friday's, and an F of age alone is wrong whenever what is
young is not of all days alike (docs/decisions/0005). So rewards are taken to be told at age a, at instant t, at the rate b(a) r(t): b
constant within each age bucket, r a rhythm over the hours of the week, a day's part times an hour's part times what is odd about that hour.
Both are learned from exposures of which nothing more is to come, by iterative proportional fitting (Deming and Stephan 1940): each part is
scaled in turn until as many answers are expected in each bucket, day and hour as came, which is the maximum of the likelihood of when they
were told given their exposures, with gamma priors for the parts of r: the days' around the visits of each day, the others' around 1, and as
wide as they scatter. A refit learns them anew; they are of its epoch.

Sums hold F at one instant for all of a cohort, the mean of its exposures. So a cohort is an hour long while F is steep (docs/decisions/0005
has what is left of the error), and joins the others of its six hours when the youngest of these is six hours old.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels.telling import expected_told, shares_told

F64 = npt.NDArray[np.float64]

WINDOWS_S: Final = (6 * 3600.0, 72 * 3600.0)
"""Attribution window of each head (schema.snapshot.HEADS): a reward later than this after the exposure is not the offer's."""

WINDOW_S: Final = max(WINDOWS_S)

TOLD_WITHIN_S: Final = WINDOW_S + 48 * 3600.0
"""After that nothing more is waited for: what happens at the end of a window is told when the till reports."""

YOUNG_S: Final = 3600.0
"""Young exposures of the same hour share sums, and so an age."""

BLOCK_S: Final = 6 * 3600.0
"""Older ones those of the same six hours."""

OLDER_S: Final = 6 * 3600.0
"""When a block has ended this long ago it is older."""

CLOSED: Final = -1
"""The cohort that holds all exposures of which nothing more is to come. Any other is a block of six hours by its number, or an hour."""

_HOURLY: Final = 1 << 20
"""Plus its number: a cohort of one hour."""


AGE_EDGES_S: Final = tuple(
    3600.0 * hours for hours in (0.25, 0.5, 1, 2, 3, 4.5, 6, 12, 24, 36, 48, 60, 72, 78, 84, 90, 96, 120)
)
"""Ends of the age buckets: fine where most rewards come, and where those are told that come at the end of a window."""

HOURS: Final = 168
HOUR_S: Final = 3600.0

PRIOR: Final = 1.0
"""Pseudo-rewards told evenly over the window, until real ones have been counted."""

EVEN_VISITS: Final = 20.0
"""Pseudo-visits of each day."""

SWEEPS: Final = 15
"""A fixed number, so that the result is a smooth function of what was counted; after ten F moves by less than 0.01."""

_QUARTERS: Final = 4
_EDGES_H: Final = np.array((0.0, *AGE_EDGES_S)) / HOUR_S
_WIDTHS_H: Final = np.diff(_EDGES_H)


class Told(NamedTuple):
    """Weight of the rewards of one head: by_age (buckets,), by_hour (168,) of the week they were told in, by_exposure (672,) the quarter of an hour of the week of their exposure."""

    by_age: F64
    by_hour: F64
    by_exposure: F64


class Telling(NamedTuple):
    """rates (buckets,) b; rhythm (168,) r by hour of the week in UTC, the first that of 1970-01-01 00:00, a Thursday. No rates at all: told at once."""

    rates: F64
    rhythm: F64


NOTHING: Final = Told(np.zeros(len(AGE_EDGES_S)), np.zeros(HOURS), np.zeros(HOURS * _QUARTERS))

AT_ONCE: Final = Telling(np.zeros(len(AGE_EDGES_S)), np.ones(HOURS))


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
    if end_s + TOLD_WITHIN_S <= now_s:
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
    return np.where(ended_s >= TOLD_WITHIN_S, CLOSED, np.where(ended_s >= OLDER_S, blocks, hours))


def unknown(window_s: float) -> Telling:
    """Before any reward was counted: evenly over the window."""
    return Telling(np.where(_EDGES_H[:-1] < window_s / HOUR_S, 1.0, 0.0), np.ones(HOURS))


def told(exposed_at_s: F64, age_s: F64, weight: F64, now_s: float) -> Told:
    """What is to be counted of n rewards, by the instants of their exposures, the ages at which they were told, and weights; additive.

    Exposures of which more may be told are left out, for of those only the early answers are known.
    """
    over = (now_s - exposed_at_s >= TOLD_WITHIN_S) & (age_s <= TOLD_WITHIN_S)
    exposed_at_s, age_s, weight = exposed_at_s[over], age_s[over], weight[over]
    return Told(
        np.bincount(np.searchsorted(AGE_EDGES_S, age_s), weight, len(AGE_EDGES_S)).astype(np.float64),
        np.bincount(_of_week(exposed_at_s + age_s, HOURS), weight, HOURS).astype(np.float64),
        np.bincount(_of_week(exposed_at_s, HOURS * _QUARTERS), weight, HOURS * _QUARTERS).astype(np.float64),
    )


def learn(counted: Told, window_s: float, visits: F64) -> Telling:
    """The likeliest rates and rhythm given what was told, of a head with that window; visits (7,) of each day of the week, from Thursday."""
    rates, busy = unknown(window_s).rates, (visits + EVEN_VISITS)[:, None] / (visits + EVEN_VISITS).mean()
    if not counted.by_age.any():
        return Telling(rates, np.repeat(busy, 24))
    pseudo = PRIOR * rates * _WIDTHS_H / (rates @ _WIDTHS_H)
    day, hour, odd = busy, np.ones((1, 24)), np.ones((7, 24))
    came = counted.by_hour.reshape(7, 24)
    for _ in range(SWEEPS):
        by_rate, _ = _expected(counted, rates, day * hour * odd)
        rates = (counted.by_age + pseudo) / (by_rate + PRIOR * _WIDTHS_H / (rates @ _WIDTHS_H))
        _, expected = _expected(counted, rates, day * hour * odd)
        day = busy * _part(came.sum(axis=1, keepdims=True), (expected * busy / day).sum(axis=1, keepdims=True))
        _, expected = _expected(counted, rates, day * hour * odd)
        hour = _part(came.sum(axis=0, keepdims=True), (expected / hour).sum(axis=0, keepdims=True))
        _, expected = _expected(counted, rates, day * hour * odd)
        odd = _part(came, expected / odd)
    return Telling(rates, (day * hour * odd).ravel())


def shares(telling: Telling, exposed_at_s: F64, now_s: float) -> F64:
    """F at now_s of exposures of these instants, (n,): exactly 1 when nothing more is to come."""
    share = np.ones(len(exposed_at_s))
    young = np.flatnonzero(now_s - exposed_at_s < TOLD_WITHIN_S)
    if len(young) and telling.rates.any():
        found = np.empty(len(young))
        shares_told(_EDGES_H, *telling, exposed_at_s[young] / HOUR_S, now_s / HOUR_S, found)
        share[young] = found
    return share


def shares_by_age(telling: Telling) -> F64:
    """F at the end of each age bucket, (buckets,), on the mean over the hours of the week."""
    ages_s = np.array(AGE_EDGES_S)
    means: F64 = np.mean(
        [shares(telling, now_s - ages_s, now_s) for now_s in (np.arange(HOURS) * HOUR_S).tolist()], axis=0
    )
    return means


def _of_week(at_s: F64, parts: int) -> npt.NDArray[np.int64]:
    return (at_s // (HOURS * HOUR_S / parts)).astype(np.int64) % parts


def _parts() -> F64:
    """(quarters, lags, buckets) hours of each age bucket in a clock hour, by how many full hours that begins after that of an exposure of the quarter."""
    exposed_h = (np.arange(16 * _QUARTERS) + 0.5) / (16 * _QUARTERS)
    lags = np.arange(TOLD_WITHIN_S // HOUR_S + 1.0)
    passed = np.clip(exposed_h[:, None, None] + _EDGES_H - lags[:, None], 0.0, 1.0)
    parts: F64 = np.diff(passed, axis=2).reshape(_QUARTERS, 16, len(lags), -1).mean(axis=1)
    return parts


_PARTS: Final = _parts()


def _expected(counted: Told, rates: F64, rhythm: F64) -> tuple[F64, F64]:
    """What one unit of each rate is expected to bring, (buckets,), and rewards by hour of the week, (7, 24)."""
    seen, by_hour = np.empty(_PARTS.shape[:2]), np.empty(HOURS)
    expected_told(counted.by_exposure, _PARTS @ rates, rhythm.ravel(), seen, by_hour)
    return np.tensordot(seen, _PARTS), by_hour.reshape(7, 24)


def _part(came: F64, expected: F64) -> F64:
    """How many times as many rewards came as are expected without this part of the rhythm, shrunk to 1.

    A gamma prior of mean 1 whose variance is the method of moments': what the scatter is more than that of a Poisson variable.
    """
    variance = max(float(((came - expected) ** 2 - expected).sum() / (expected**2).sum()), 0.0)
    part: F64 = (1.0 + variance * came) / (1.0 + variance * expected)
    return part
