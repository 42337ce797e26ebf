"""`welltimed evaluate`: reads a logged bandit and a target policy from npz files, and tells what came out."""

import math
from pathlib import Path
from typing import Any, Final, NamedTuple

from bandits.evaluation import importance, logged
from bandits.evaluation.estimate import Interval
from bandits.evaluation.evaluation import Evaluation, Judged
from bandits.evaluation.evaluation import evaluate as evaluate_log
from service import npz

LOG_ARRAYS: Final = ("context", "action", "reward", "pscore", "n_actions", "position", "slate_id")
TARGET_ARRAYS: Final = ("action_dist",)


class Options(NamedTuple):
    """What the caller knows or wants; bounds that are None are taken from the log."""

    confidence: float = 0.95
    seed: int = 0
    weight_max: float | None = None
    reward_range: tuple[float, float] | None = None


def evaluate(log_file: Path, target_file: Path, options: Options) -> dict[str, Any]:
    """The evaluation as it goes out in JSON; bounds of intervals that the log does not tell are None.

    Raises:
        ValueError: a file or an array is not what it must be; the message names it.
    """
    if options.reward_range is not None and not options.reward_range[0] < options.reward_range[1]:
        raise ValueError("reward range: the least must be below the greatest")
    log = logged.checked_log(npz.arrays(log_file, LOG_ARRAYS))
    given = npz.arrays(target_file, TARGET_ARRAYS)
    if "action_dist" not in given:
        raise logged.NotALogError(f"action_dist: missing in {target_file.name}")
    target = logged.checked_target(given.pop("action_dist"), log)
    bounds = importance.bounds(log, target, options.weight_max, options.reward_range)
    result = evaluate_log(log, target, bounds=bounds, confidence=options.confidence, seed=options.seed)
    return _told(result, options.confidence)


def _told(result: Evaluation, confidence: float) -> dict[str, Any]:
    figures, verdict = result.diagnostics, result.verdict
    told: dict[str, Any] = {name: _one(judged) for name, judged in result.estimates.items()}
    told |= {
        "rows": figures.rows,
        "confidence": confidence,
        "ess": figures.effective_rows,
        "max_weight": figures.weight_max,
        "mean_weight": figures.weight_mean,
        "max_weight_share": figures.weight_max_share,
        "effective_rewards": figures.effective_rewards,
        "unsupported_share": figures.unsupported_share,
        "trustworthy": verdict.trustworthy,
        "reasons": verdict.reasons,
        "cautions": verdict.cautions,
        "empirical_bernstein": {name: _interval(judged.bernstein) for name, judged in result.estimates.items()},
        "weight_limits": result.limits,
        "bounds": result.bounds._asdict(),
        "calibration": [tenth._asdict() for tenth in result.calibration],
    }
    if result.of_slate:
        told["slate"] = {name: _one(judged) for name, judged in result.of_slate.items()}
    return told


def _one(judged: Judged) -> dict[str, float | None]:
    return {"value": _finite(judged.value), **_interval(judged.bootstrap)}


def _interval(interval: Interval) -> dict[str, float | None]:
    return {"low": _finite(interval.low), "high": _finite(interval.high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def table(told: dict[str, Any]) -> str:
    """The same for people."""
    level = f"{100 * told['confidence']:g} %"
    weights = f"largest weight {told['max_weight']:,.1f}, mean weight {told['mean_weight']:.3g}"
    wide = told["empirical_bernstein"]
    lines = [
        f"{told['rows']:,} rows, effective {told['ess']:,.0f}; {weights}",
        "",
        f"{'':<12}{'value':>11}   {level + ' bootstrap':<24}{level + ' empirical Bernstein'}",
        *(_line(name, told[name], wide[name]) for name in wide),
    ]
    if "slate" in told:
        lines += ["", "of a whole slate (items of other slots do not matter)"]
        lines += [_line(name, one) for name, one in told["slate"].items()]
    lines += ["", f"trustworthy: {'yes' if told['trustworthy'] else 'NO'}"]
    lines += [f"  - {reason}" for reason in told["reasons"]]
    lines += [f"  (caution: {caution})" for caution in told["cautions"]]
    return "\n".join(lines)


def _line(name: str, one: dict[str, float | None], wide: dict[str, float | None] | None = None) -> str:
    text = f"{name:<12}{_number(one['value']):>11}   {_pair(one):<24}"
    return (text if wide is None else text + _pair(wide)).rstrip()


def _pair(interval: dict[str, float | None]) -> str:
    return f"{_number(interval['low'])} … {_number(interval['high'])}"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"
