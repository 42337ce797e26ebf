"""What a push adds to what people buy anyway: the model behind the goal `incremental_value`.

Two heads look at the same outcome, whether the drawn offer's thing is bought within the window: one over windows of silence (no_send,
holdout), one over windows after a push. They share what they know:

    organic: P(buy | silence) = g(phi . w),    send: P(buy | send) = g(phi . w + e(phi) . delta),

so that what is uncertain of a push is uncertain of its effect delta alone, on which the prior is narrow, and not of two separate models
whose difference would carry the errors of both. As one logistic model over (phi, s e(phi)), s 1 after a push, it has the estimating equation of
the shared posterior (bandits.laplace), unbiased at every age of a window. How it is learned is told in bandits.incremental_fit.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.features import DIMS, NAMES, PRIORS
from bandits.kernels.featurize import LOG_ODDS_CENTRE
from bandits.prior import Prior
from schema.snapshot import HEADS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

EFFECT_SET: Final = 2
"""Raised whenever the meaning of a column of the effect changes: what was learned of other columns is never decided by."""

_EFFECT: Final = {
    "bias": (1.5, 1.0),
    "chance": (-0.5, 2.0),
    "habit": (-1.0, 1.0),
    "interest": (0.0, 0.5),
    "wanted": (1.0, 1.5),
    "room": (1.0, 0.5),
    "tired": (0.0, 0.5),
    "pestered": (0.0, 0.5),
    "discount": (0.0, 0.5),
}
"""Prior mean and deviation of the effect on the log-odds: a push moves a little, the less the more the thing is bought anyway. The
deviations are wide, for in some towns it does nothing, and whom it moves is what there is to learn; that of `interest` is narrower, for
beside `wanted` a line in it would tell one wanted thing from another by a look more or less."""

EFFECT_DIMS: Final = len(_EFFECT)
WIDTH: Final = DIMS + EFFECT_DIMS

HABIT_WITHIN: Final = (0.0, 2.0)
WANTED_WITHIN: Final = (1 / 3, 4 / 9)
"""Of interest, where looks are few and chance has its part: two and a half looks just now (each counts a fifth, bandits.words), and four. Up
to two may be an accident, with four the person wants the thing; whoever looks at a thing every week has about six at any time."""

LOG_PERSUADED: Final = -1.2
"""Logarithm of the chance that a push is the cause of a purchase of what is wanted, about three in ten: where `room` bends. How much it moves
them in truth is learned."""

VARIANCE_BEGIN: Final = 1.0
"""Of people's own effects, until it is known: that people differ in what moves them is why one asks for increments at all."""


class NotAnEffectError(ValueError):
    """What was learned is not finite, not positive definite or of another shape: nothing is to be decided by it."""


def _prior() -> Prior:
    organic = PRIORS[HEADS.index("redeem")]
    mean, deviation = np.array(list(_EFFECT.values())).T
    return Prior(np.concatenate([organic.mean, mean]), np.concatenate([organic.precision, deviation**-2]))


PRIOR: Final = _prior()
"""Of w and delta, (WIDTH,)."""


def effect_columns(phi: F32) -> F32:
    """The features that an effect may depend on, (n, EFFECT_DIMS), made of phi (n, d).

    Whoever looks at a thing again and again wants it (`wanted`), and a push about it is one more cause of a purchase: bought then with
    1 - (1 - P)(1 - q), a noisy OR (Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988, 4.3.2). On the log-odds that is
    ln(1 + q exp(-logit P)) - ln(1 - q) more than P; `room` is the first of these terms, less what it is at the centre of the log-odds. It falls
    by nearly one with each of the log-odds of what is bought seldom, and by little where it is bought often: there a push changes nothing.

    Of what is not wanted less is assumed: the habit enters as the chance itself, and as its log-odds within bounds. Without bounds a push
    would work wonders on those who never come, and without log-odds it would multiply the odds of everybody alike.
    """
    of = {name: phi[:, column] for column, name in enumerate(NAMES)}
    low, high = WANTED_WITHIN
    log_odds = LOG_ODDS_CENTRE + of["lp"]
    of["wanted"] = np.clip((of["interest"] - low) / (high - low), 0.0, 1.0)
    of["room"] = of["wanted"] * (_cause(log_odds) - _cause(np.float32(LOG_ODDS_CENTRE)))
    of["habit"] = (1.0 - of["wanted"]) * np.clip(of["lp"], *HABIT_WITHIN)
    of["chance"] = 1.0 / (1.0 + np.exp(-log_odds))
    return np.stack([of[name] for name in _EFFECT], axis=1).astype(np.float32)


def _cause(log_odds: F32 | np.float32) -> F32:
    """ln(1 + q exp(-log_odds))."""
    more: F32 = np.logaddexp(0.0, LOG_PERSUADED - log_odds)
    return more


class Effect(NamedTuple):
    """N(mean (WIDTH,), covariance (WIDTH, WIDTH)) of (w, delta); the prior variance of what pushes do to each person beyond that, on the
    log-odds; and the share of purchases after a push that redeem.
    """

    mean: F64
    covariance: F64
    own_variance: float
    redeemed_share: float


class Own(NamedTuple):
    """What is believed of people's own parts, mean and variance: (N,) of N people, or (offers,) of one person in a draw."""

    mean: F64
    variance: F64


class Known(NamedTuple):
    """An effect made ready to draw by: factor (WIDTH, WIDTH) is the lower Cholesky factor of its covariance."""

    effect: Effect
    factor: F64


class Worth(NamedTuple):
    """What the offers of a draw give and take, in one unit: margin (offers,) of a piece, discount (offers,) of a redemption."""

    margin: F64
    discount: F64


class Gain(NamedTuple):
    """Of each offer, (offers,): value of sending it against silence, its deviation, and P(buy) after a push and in silence."""

    value: F64
    deviation: F64
    sent: F64
    organic: F64


UNKNOWN: Final = Effect(PRIOR.mean, np.diag(1.0 / PRIOR.precision), VARIANCE_BEGIN, 1.0)
"""The prior alone: whoever buys takes the discount."""


def known(effect: Effect) -> Known:
    """The effect, found sound and made ready.

    Raises:
        NotAnEffectError: it must not be decided by.
    """
    mean, covariance, own_variance, redeemed_share = effect
    if mean.shape != (WIDTH,) or covariance.shape != (WIDTH, WIDTH):
        raise NotAnEffectError(f"an effect has {WIDTH} columns")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise NotAnEffectError("an effect is not finite")
    if not (0.0 < own_variance < np.inf and 0.0 <= redeemed_share <= 1.0):
        raise NotAnEffectError("a variance must be positive, and a share lies between 0 and 1")
    try:
        factor: F64 = np.linalg.cholesky(covariance).astype(np.float64)
    except np.linalg.LinAlgError as error:
        raise NotAnEffectError(str(error)) from error
    return Known(effect, factor)


def gain(ready: Known, own: Own, phi: F32, worth: Worth, scale: float = 1.0) -> Gain:
    """Margin (P(buy | send) - P(buy | silence)) - discount P(redeem | send) of each offer for one person; attention is not in it.

    Args:
        ready: what is known of everybody.
        own: of the person, (offers,) or (1,).
        phi: (offers, d).
        worth: what each offer gives and takes.
        scale: of the deviations, which are by the delta method.
    """
    effect = ready.effect
    wide, moved = phi.astype(np.float64), effect_columns(phi).astype(np.float64)
    habit = wide @ effect.mean[:DIMS]
    organic, sent = chance_of(habit), chance_of(habit + moved @ effect.mean[DIMS:] + own.mean)
    kept = worth.margin - worth.discount * effect.redeemed_share
    slope_sent = kept * sent * (1.0 - sent)
    by_habit = (slope_sent - worth.margin * organic * (1.0 - organic))[:, None] * wide
    whitened = np.concatenate([by_habit, slope_sent[:, None] * moved], axis=1) @ ready.factor
    variance = np.square(whitened).sum(axis=1) + np.square(slope_sent) * own.variance
    return Gain(kept * sent - worth.margin * organic, scale * np.sqrt(variance), sent, organic)


def chance_of(eta: F64) -> F64:
    """The chance that has these log-odds."""
    chance: F64 = 1.0 / (1.0 + np.exp(-np.clip(eta, -30.0, 30.0)))
    return chance
