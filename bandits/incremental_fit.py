"""How the effect of pushes is learned: from windows of silence and windows after a push, people's own parts beside the shared one."""

from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import delay, event_time, laplace
from bandits.delay import WINDOW_S
from bandits.incremental import PRIOR, UNKNOWN, VARIANCE_BEGIN, Effect, Own, chance_of, effect_columns
from bandits.laplace import Design

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

REDEEMED_PSEUDO: Final = 2.0
"""Purchases after a push that are taken as redeemed until some have been seen: whoever buys takes the discount."""

VARIANCES: Final = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Among these the variance of people's own effects is looked for, by the marginal likelihood of what everybody's windows say."""

VARIANCE_DEVIATION: Final = 1.0
"""Of ln(variance) around what is assumed at first."""

SWEEPS: Final = 3
"""Shared and own parts are fitted in turn, each with the other's as offset; the next learning goes on from there."""

NOBODY: Final = -1
"""Instead of a person: nothing of theirs may be used for themselves, and the window teaches the shared part alone."""


class Windows(NamedTuple):
    """n windows: phi (n, d) of the drawn offer; (n,) each: whose it is (0 to N - 1, or NOBODY), when it began, 1 if the offer was sent, 1 if bought, age at which that was told.

    Windows of the holdout and of no_send are in it with the offer that was drawn and not sent.
    """

    phi: F32
    person: I64
    began_at_s: F64
    is_sent: F64
    is_bought: F64
    age_s: F64


class Learned(NamedTuple):
    """What is known of everybody, and of each of N people."""

    effect: Effect
    own: Own


def unknown(people: int) -> Learned:
    """The prior alone, for N people."""
    return Learned(UNKNOWN, Own(np.zeros(people), np.full(people, VARIANCE_BEGIN)))


def learn(windows: Windows, redeemed: float, before: Learned, now_s: float) -> Learned:
    """The posterior given all windows, as of now_s.

    Args:
        windows: all of them, in any order.
        redeemed: how many of the purchases after a push were redeemed.
        before: what was learned last: where the fit begins.
        now_s: seconds since 1970.

    Raises:
        NotAPosteriorError: a result is not finite or not positive definite.
    """
    weight = event_time.decay_weights(windows.began_at_s) / event_time.decay_weight(now_s)
    came = windows.is_bought > 0.0
    told = delay.told(windows.began_at_s[came], windows.age_s[came], weight[came], now_s)
    maturity = delay.shares(delay.learn(told, WINDOW_S, np.zeros(7)), windows.began_at_s, now_s)
    sent = windows.is_sent.astype(np.float32)
    both = np.concatenate([windows.phi, sent[:, None] * effect_columns(windows.phi)], axis=1)
    mode, own, variance = before.effect.mean, before.own, before.effect.own_variance
    for _ in range(SWEEPS):
        offset = sent * np.append(own.mean, 0.0)[windows.person].astype(np.float32)
        design = Design(both, offset, weight, maturity, windows.is_bought)
        point = laplace.fit(partial(_once, design), PRIOR, "logit", mode).mode
        mode = point.w
        own, variance = _own(design, windows, mode, own)
    bought = float(windows.is_sent @ windows.is_bought)
    share = (redeemed + REDEEMED_PSEUDO) / (bought + REDEEMED_PSEUDO)
    covariance: F64 = np.linalg.inv(point.hessian).astype(np.float64)
    return Learned(Effect(mode, covariance, variance, min(share, 1.0)), own)


def _once(design: Design) -> list[Design]:
    return [design]


def _own(design: Design, windows: Windows, mode: F64, before: Own) -> tuple[Own, float]:
    """One Newton step of everybody's own part, linearised at what it was, and the likeliest prior variance."""
    people = len(before.mean)
    sent = windows.is_sent * (windows.person != NOBODY)
    whose = np.maximum(windows.person, 0)
    chance = chance_of(design.phi.astype(np.float64) @ mode + design.offset)
    curvature = sent * design.weight * design.maturity * chance * (1.0 - chance)
    surprise = sent * design.weight * (design.reward - design.maturity * chance)
    A = _sum(whose, curvature, people)
    b: F64 = _sum(whose, surprise, people) + A * before.mean
    evidence = [_evidence(A, b, v) for v in VARIANCES]
    variance = VARIANCES[int(np.argmax(evidence))]
    precision: F64 = A + 1.0 / variance
    return Own(b / precision, 1.0 / precision), variance


def _evidence(A: F64, b: F64, variance: float) -> float:
    """Log marginal likelihood of everybody's sums, with what is believed of the variance beforehand."""
    away = np.log(variance / VARIANCE_BEGIN) / VARIANCE_DEVIATION
    return 0.5 * float(np.sum(b * b / (A + 1.0 / variance) - np.log1p(variance * A)) - away**2)


def _sum(group: I64, weight: F64, groups: int) -> F64:
    return np.bincount(group, weight, groups)[:groups].astype(np.float64)
