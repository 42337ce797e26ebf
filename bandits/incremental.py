"""What a push adds to what people buy anyway: the model behind the goal `incremental_value`.

Two heads look at the same outcome, whether the drawn offer's thing is bought within the window: one over windows of silence (no_send,
holdout), one over windows after a push. They share what they know:

    organic: P(buy | silence) = g(phi . w),    send: P(buy | send) = g(phi . w + e(phi) . delta),

so that what is uncertain of a push is uncertain of its effect delta alone, on which the prior is narrow, and not of two separate models
whose difference would carry the errors of both. As one logistic model over (phi, s e(phi)), s 1 after a push, it has the estimating equation of
the shared posterior (bandits.laplace), unbiased at every age of a window, and sums by cohort that may be added.
"""

from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import delay, event_time, laplace
from bandits.delay import CLOSED, WINDOW_S
from bandits.features import DIMS, NAMES, PRIORS
from bandits.kernels.featurize import LOG_ODDS_CENTRE
from bandits.laplace import Design
from bandits.prior import Prior
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_EFFECT: Final = {
    "bias": (1.5, 1.0),
    "chance": (-0.5, 2.0),
    "habit": (-1.0, 1.0),
    "interest": (0.0, 2.0),
    "keen": (1.0, 1.5),
    "soon": (0.0, 0.5),
    "later": (0.0, 0.5),
    "tired": (0.0, 0.5),
    "pestered": (0.0, 0.5),
    "discount": (0.0, 0.5),
}
"""Prior mean and deviation of the effect on the log-odds: a push moves a little, the less the more the thing is bought anyway. The
deviations are wide, for in some towns it does nothing, and whom it moves is what there is to learn."""

EFFECT_DIMS: Final = len(_EFFECT)
WIDTH: Final = DIMS + EFFECT_DIMS

HABIT_WITHIN: Final = (0.0, 2.0)
KEEN_WITHIN: Final = (0.25, 0.5)
"""One look just now is an interest of 0.17, two are 0.29, five are 0.5: up to two may be an accident, with five the person wants the thing."""

REDEEMED_PSEUDO: Final = 2.0
"""Purchases after a push that are taken as redeemed until some have been seen: whoever buys takes the discount."""


VARIANCES: Final = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Among these the variance of people's own effects is looked for, by the marginal likelihood of what everybody's windows say."""

VARIANCE_BEGIN: Final = 1.0
VARIANCE_DEVIATION: Final = 1.0
"""Of ln(variance) around what is assumed at first: that people differ in what moves them is why one asks for increments at all."""

SWEEPS: Final = 3
"""Shared and own parts are fitted in turn, each with the other's as offset; the next learning goes on from there."""


def _prior() -> Prior:
    organic = PRIORS[HEADS.index("redeem")]
    mean, deviation = np.array(list(_EFFECT.values())).T
    return Prior(np.concatenate([organic.mean, mean]), np.concatenate([organic.precision, deviation**-2]))


PRIOR: Final = _prior()
"""Of w and delta, (WIDTH,)."""


def effect_columns(phi: F32) -> F32:
    """The features that an effect may depend on, (n, EFFECT_DIMS), made of phi (n, d).

    The habit enters as the chance itself, and as its log-odds within bounds: without bounds a push would work wonders on those who never
    come, and without log-odds it would multiply the odds of everybody alike. Interest enters once more as a rise between two bounds (`keen`):
    with a line or a parabola alone, those who looked once are taken for halfway to those who look every week.
    """
    of = {name: phi[:, column] for column, name in enumerate(NAMES)}
    low, high = KEEN_WITHIN
    of["keen"] = np.clip((of["interest"] - low) / (high - low), 0.0, 1.0)
    of["habit"] = np.clip(of["lp"], *HABIT_WITHIN)
    of["chance"] = 1.0 / (1.0 + np.exp(-LOG_ODDS_CENTRE - of["lp"]))
    return np.stack([of[name] for name in _EFFECT], axis=1).astype(np.float32)


class Windows(NamedTuple):
    """n windows: phi (n, d) of the drawn offer; (n,) each: whose it is (0 to N - 1), when it began, 1 if the offer was sent, 1 if bought, age at which that was told.

    Windows of the holdout and of no_send are in it with the offer that was drawn and not sent.
    """

    phi: F32
    person: I64
    began_at_s: F64
    is_sent: F64
    is_bought: F64
    age_s: F64


class Own(NamedTuple):
    """What pushes do to each person beyond what the features say, on the log-odds: mean (N,), variance (N,), and its prior variance."""

    mean: F64
    variance: F64
    prior_variance: float


class Effect(NamedTuple):
    """N(mean (WIDTH,), covariance (WIDTH, WIDTH)) of (w, delta), people's own part, and the share of purchases after a push that redeem."""

    mean: F64
    covariance: F64
    own: Own
    redeemed_share: float


class Worth(NamedTuple):
    """What the offers of a draw give and take, in one unit: margin (offers,) of a piece, discount (offers,) of a redemption."""

    margin: F64
    discount: F64


class Gain(NamedTuple):
    """Of each offer: value (offers,) of sending it against silence, and its gradient in (w, delta, own part), (offers, WIDTH + 1)."""

    value: F64
    gradient: F64


def unknown(people: int) -> Effect:
    """The prior alone, for N people."""
    own = Own(np.zeros(people), np.full(people, VARIANCE_BEGIN), VARIANCE_BEGIN)
    return Effect(PRIOR.mean, np.diag(1.0 / PRIOR.precision), own, 1.0)


def learn(windows: Windows, redeemed: float, before: Effect, now_s: float) -> Effect:
    """The posterior given all windows, as of now_s.

    Args:
        windows: all of them, in any order.
        redeemed: how many of the purchases after a push were redeemed.
        before: what was learned last: where the fit begins.
        now_s: seconds since 1970.

    Raises:
        NotAPosteriorError: a result is not finite or not positive definite.
    """
    arrived = delay.arrived_shares(_arrivals(windows, now_s), WINDOW_S)
    weight = event_time.decay_weights(windows.began_at_s) / event_time.decay_weight(now_s)
    maturity = delay.maturities(now_s - windows.began_at_s, arrived)
    sent = windows.is_sent.astype(np.float32)
    both = np.concatenate([windows.phi, sent[:, None] * effect_columns(windows.phi)], axis=1)
    mode, own = before.mean, before.own
    for _ in range(SWEEPS):
        offset = sent * own.mean[windows.person].astype(np.float32)
        design = Design(both, offset, weight, maturity, windows.is_bought)
        point = laplace.fit(partial(_once, design), PRIOR, "logit", mode).mode
        mode = point.w
        own = _own(design, windows, mode, own)
    bought = float(windows.is_sent @ windows.is_bought)
    share = (redeemed + REDEEMED_PSEUDO) / (bought + REDEEMED_PSEUDO)
    covariance: F64 = np.linalg.inv(point.hessian).astype(np.float64)
    return Effect(mode, covariance, own, min(share, 1.0))


def _once(design: Design) -> list[Design]:
    return [design]


def _own(design: Design, windows: Windows, mode: F64, before: Own) -> Own:
    """One Newton step of everybody's own part, linearised at what it was, and the likeliest prior variance."""
    sent, people = windows.is_sent, len(before.mean)
    chance = _chance(design.phi.astype(np.float64) @ mode + design.offset)
    curvature = sent * design.weight * design.maturity * chance * (1.0 - chance)
    surprise = sent * design.weight * (design.reward - design.maturity * chance)
    A = _sum(windows.person, curvature, people)
    b: F64 = _sum(windows.person, surprise, people) + A * before.mean
    evidence = [_evidence(A, b, v) for v in VARIANCES]
    variance = VARIANCES[int(np.argmax(evidence))]
    precision: F64 = A + 1.0 / variance
    return Own(b / precision, 1.0 / precision, variance)


def _evidence(A: F64, b: F64, variance: float) -> float:
    """Log marginal likelihood of everybody's sums, with what is believed of the variance beforehand."""
    away = np.log(variance / VARIANCE_BEGIN) / VARIANCE_DEVIATION
    return 0.5 * float(np.sum(b * b / (A + 1.0 / variance) - np.log1p(variance * A)) - away**2)


def _arrivals(windows: Windows, now_s: float) -> F64:
    """Decayed purchases by age, of windows that are over."""
    over = (delay.cohorts_at(windows.began_at_s, now_s) == CLOSED) & (windows.is_bought > 0.0)
    weight = event_time.decay_weights(windows.began_at_s[over]) / event_time.decay_weight(now_s)
    return _sum(delay.buckets(windows.age_s[over]), weight, len(delay.AGE_EDGES_S))


def _sum(group: I64, weight: F64, groups: int) -> F64:
    return np.bincount(group, weight, groups).astype(np.float64)


def gain(effect: Effect, person: int, phi: F32, worth: Worth) -> Gain:
    """Margin (P(buy | send) - P(buy | silence)) - discount P(redeem | send) of each offer for one person, phi (offers, d).

    Attention is not in it.
    """
    wide, moved = phi.astype(np.float64), effect_columns(phi).astype(np.float64)
    habit = wide @ effect.mean[:DIMS]
    organic, sent = _chance(habit), _chance(habit + moved @ effect.mean[DIMS:] + effect.own.mean[person])
    kept = worth.margin - worth.discount * effect.redeemed_share
    slope_sent = kept * sent * (1.0 - sent)
    by_habit = (slope_sent - worth.margin * organic * (1.0 - organic))[:, None] * wide
    by_effect = slope_sent[:, None] * moved
    gradient = np.concatenate([by_habit, by_effect, slope_sent[:, None]], axis=1)
    return Gain(kept * sent - worth.margin * organic, gradient)


def factor(effect: Effect, person: int) -> F64:
    """Lower Cholesky factor of the covariance of (w, delta, own part of this person), (WIDTH + 1, WIDTH + 1)."""
    lower = np.zeros((WIDTH + 1, WIDTH + 1))
    lower[:WIDTH, :WIDTH] = np.linalg.cholesky(effect.covariance)
    lower[WIDTH, WIDTH] = np.sqrt(effect.own.variance[person])
    return lower


def _chance(eta: F64) -> F64:
    chance: F64 = 1.0 / (1.0 + np.exp(-np.clip(eta, -30.0, 30.0)))
    return chance
