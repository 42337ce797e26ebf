"""The whole evaluation of a target policy on a log: all estimates with intervals, diagnostics and verdict."""

from typing import NamedTuple

from bandits.evaluation import bootstrap, diagnostics, empirical_bernstein, importance, slate, verdict
from bandits.evaluation.clipped_ips import clipped_ips
from bandits.evaluation.diagnostics import CalibrationBin, Diagnostics
from bandits.evaluation.direct_method import direct_method
from bandits.evaluation.doubly_robust import doubly_robust
from bandits.evaluation.estimate import F64, Bounds, Estimate, Interval, clustered
from bandits.evaluation.ips import ips
from bandits.evaluation.logged import Array, LoggedBandit
from bandits.evaluation.regression import Expected, expect
from bandits.evaluation.snips import snips
from bandits.evaluation.switch_dr import switch_dr
from bandits.evaluation.verdict import Verdict


class Judged(NamedTuple):
    """A value with its bootstrap and its empirical-Bernstein interval."""

    value: float
    bootstrap: Interval
    bernstein: Interval


class Evaluation(NamedTuple):
    """Estimates by name (ips, snips, clipped_ips, dm, dr, switch_dr): of a row, and of a slate of several slots, if there are."""

    estimates: dict[str, Judged]
    of_slate: dict[str, Judged]
    limits: dict[str, float]
    bounds: Bounds
    diagnostics: Diagnostics
    calibration: list[CalibrationBin]
    verdict: Verdict


def evaluate(
    log: LoggedBandit,
    target: Array,
    *,
    bounds: Bounds | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Evaluates a target (n, n_actions), from `logged.checked_target`; without bounds those that the log suggests hold."""
    if bounds is None:
        bounds = importance.bounds(log, target)
    weight = importance.weights(log, target)
    expected = expect(log, target, bounds, seed)
    estimates, limits = _estimates(weight, log.reward, expected, bounds)
    of_slate = {}
    if log.position.max() > 0:
        per_slate = {name: slate.per_slate(row, log.position, log.slate_id) for name, row in estimates.items()}
        of_slate = _judged(per_slate, confidence, seed)
    if log.slate_id is not None:
        estimates = {name: clustered(row, log.slate_id) for name, row in estimates.items()}
    judged = _judged(estimates, confidence, seed)
    figures = diagnostics.diagnose(weight, log.reward)
    return Evaluation(
        judged,
        of_slate,
        limits,
        bounds,
        figures,
        diagnostics.calibration(expected, log.reward),
        verdict.judge(figures, judged["dr"].value, bounds),
    )


def _estimates(
    weight: F64, reward: F64, expected: Expected, bounds: Bounds
) -> tuple[dict[str, Estimate], dict[str, float]]:
    clipped, clip_limit = clipped_ips(weight, reward, bounds)
    switched, switch_limit = switch_dr(weight, reward, expected, bounds)
    estimates = {
        "ips": ips(weight, reward, bounds),
        "snips": snips(weight, reward, bounds),
        "clipped_ips": clipped,
        "dm": direct_method(expected, bounds),
        "dr": doubly_robust(weight, reward, expected, bounds),
        "switch_dr": switched,
    }
    return estimates, {"clipped_ips": clip_limit, "switch_dr": switch_limit}


def _judged(estimates: dict[str, Estimate], confidence: float, seed: int) -> dict[str, Judged]:
    intervals = bootstrap.intervals(list(estimates.values()), confidence, seed=seed)
    return {
        name: Judged(estimate.value, interval, empirical_bernstein.interval(estimate, confidence))
        for (name, estimate), interval in zip(estimates.items(), intervals, strict=True)
    }
