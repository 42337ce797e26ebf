"""Whether to believe an evaluation: reasons, in words, against it."""

from math import sqrt
from typing import Final, NamedTuple

from bandits.evaluation.diagnostics import Diagnostics
from bandits.evaluation.estimate import Bounds

EFFECTIVE_ROWS_MIN: Final = 100.0
EFFECTIVE_REWARDS_MIN: Final = 5.0
EFFECTIVE_REWARDS_WANTED: Final = 30.0
"""Below this many the intervals are known to be somewhat too short (docs/evaluation.md)."""

MAX_SHARE: Final = 0.1
"""Of the total weight, in one row."""

MEAN_OFF_MIN, MEAN_OFF_MAX, MEAN_OFF_ERRORS = 0.02, 0.25, 4.0
"""The mean weight may be off one by so many standard errors, but at least and at most by this."""

_ROUNDING: Final = 1e-9


class Verdict(NamedTuple):
    """Trustworthy when there is no reason against it; cautions are no reasons, but should be read."""

    trustworthy: bool
    reasons: list[str]
    cautions: list[str]


def judge(figures: Diagnostics, doubly_robust: float, bounds: Bounds) -> Verdict:
    """doubly_robust is the value of that estimate."""
    reasons = [*_of_weights(figures), *_of_rewards(figures)]
    slack = _ROUNDING * bounds.reward_span
    if not bounds.reward_low - slack <= doubly_robust <= bounds.reward_high + slack:
        reasons.append(
            f"the doubly robust value {doubly_robust:.4g} is outside the rewards possible"
            f" ({bounds.reward_low:g} to {bounds.reward_high:g}): the correction by weights is mostly noise"
        )
    return Verdict(not reasons, reasons, _cautions(figures))


def _of_weights(figures: Diagnostics) -> list[str]:
    reasons = []
    if figures.effective_rows < EFFECTIVE_ROWS_MIN:
        reasons.append(
            f"the {figures.rows:,} rows tell as much as {figures.effective_rows:.1f} rows under the target would"
            f" (effective sample size); at least {EFFECTIVE_ROWS_MIN:.0f} are needed"
        )
    if figures.weight_max_share > MAX_SHARE:
        reasons.append(
            f"one row carries {figures.weight_max_share:.0%} of all weight (its weight is {figures.weight_max:,.0f})"
        )
    if abs(figures.weight_mean - 1.0) > _mean_tolerance(figures):
        reasons.append(
            f"the mean weight is {figures.weight_mean:.3g} and should be 1: "
            + (
                "the target does what the log hardly ever did, or the logged propensities are too low"
                if figures.weight_mean > 1.0
                else "the target does what the log never did, or the logged propensities are too high"
            )
        )
    return reasons


def _mean_tolerance(figures: Diagnostics) -> float:
    """The variance of the weights is n/effective - 1 times their squared mean."""
    if figures.effective_rows == 0.0:
        return MEAN_OFF_MIN
    spread = max(1.0 / figures.effective_rows - 1.0 / figures.rows, 0.0)
    return min(max(MEAN_OFF_MIN, MEAN_OFF_ERRORS * figures.weight_mean * sqrt(spread)), MEAN_OFF_MAX)


def _of_rewards(figures: Diagnostics) -> list[str]:
    found, needed = figures.effective_rewards, EFFECTIVE_REWARDS_MIN
    if found >= needed:
        return []
    return [f"the estimate rests on {found:.1f} effective rewards; at least {needed:.0f} are needed"]


def _cautions(figures: Diagnostics) -> list[str]:
    cautions = []
    if EFFECTIVE_REWARDS_MIN <= figures.effective_rewards < EFFECTIVE_REWARDS_WANTED:
        cautions.append(
            f"the estimate rests on {figures.effective_rewards:.1f} effective rewards: intervals may be too short"
        )
    if figures.unsupported_share > 0.0:
        cautions.append(f"the target never takes the logged action in {figures.unsupported_share:.1%} of the rows")
    return cautions
