"""A challenger against the policy in force, on a log that may be longer than memory: rows come in blocks, sums by people stay.

The gain of a decision is estimated doubly robustly, as one difference on the same rows: with w the probability of what was taken over
its propensity, q the reward expected of it and e the reward expected of a policy, all of them known before the reward,

    gain = e_challenger - e_incumbent + (w_challenger - w_incumbent) (r - q).

Where both would do the same a row says exactly 0, so the interval is far shorter than the difference of two intervals; and what the
difference rests on are the rewards where they would not, of which there may be few in a long log. A person's
decisions are not independent: each belongs to one of CLUSTERS groups of people, and groups are what the bootstrap draws.
"""

from typing import Final, NamedTuple

import numpy as np

from bandits.evaluation import bootstrap, verdict
from bandits.evaluation.diagnostics import CalibrationBin, Diagnostics
from bandits.evaluation.estimate import F64, I64, Bounds, Estimate, Interval
from bandits.evaluation.tally import Tally
from bandits.evaluation.verdict import EFFECTIVE_REWARDS_MIN, EFFECTIVE_REWARDS_WANTED, Verdict

CLUSTERS: Final = 4_096
CLUSTERS_MIN: Final = 30
"""With fewer groups of people an interval over them is not to be relied on."""

BINS: Final = 10
_OPEN: Final = Interval(-np.inf, np.inf)
_COLUMNS: Final = ("weighted_reward", "weighted_expected", "expected", "weight")


class Side(NamedTuple):
    """One policy in n rows: its probability of what was taken over the propensity, and the reward expected of it; each (n,)."""

    weight: F64
    expected: F64


class Rows(NamedTuple):
    """n rows, one a slot of a decision: the group of its person, whether the slot is the first, the reward, and the reward expected
    of what was taken; each (n,). Rewards lie between low and high.
    """

    cluster: I64
    is_first: F64
    reward: F64
    expected: F64
    challenger: Side
    incumbent: Side
    low: float
    high: float


class Ranged(NamedTuple):
    """A value a decision, with its bootstrap interval."""

    value: float
    interval: Interval


class Compared(NamedTuple):
    """Estimates of a decision by name: ips, snips, dm and dr of both policies, ips and dr of the gain."""

    decisions: int
    clusters: int
    challenger: dict[str, Ranged]
    incumbent: dict[str, Ranged]
    gain: dict[str, Ranged]
    challenger_weights: Diagnostics
    incumbent_weights: Diagnostics
    calibration: list[CalibrationBin]
    verdict: Verdict


class Comparison:
    """Takes blocks of rows, gives the comparison; its size does not depend on how many came."""

    def __init__(self) -> None:
        self._decisions = np.zeros(CLUSTERS)
        self._sums = np.zeros((2, len(_COLUMNS), CLUSTERS))
        self._tallies = (Tally(), Tally())
        self._difference = Tally()
        self._bins = np.zeros((3, BINS))
        self._rows = 0
        self._low, self._high = 0.0, 0.0

    def add(self, rows: Rows) -> None:
        """One block; its order and that of the blocks do not matter.

        Raises:
            ValueError: a number that is not finite, a negative weight, or a reward out of its range.
        """
        _check(rows)
        self._rows += len(rows.reward)
        self._decisions += np.bincount(rows.cluster, rows.is_first, CLUSTERS)
        for at, side in enumerate((rows.challenger, rows.incumbent)):
            parts = (side.weight * rows.reward, side.weight * rows.expected, side.expected, side.weight)
            for column, values in enumerate(parts):
                self._sums[at, column] += np.bincount(rows.cluster, values, CLUSTERS)
            self._tallies[at].add(side.weight, rows.reward)
        self._difference.add(np.abs(rows.challenger.weight - rows.incumbent.weight), rows.reward)
        self._low, self._high = min(self._low, rows.low), max(self._high, rows.high)
        share = rows.expected / max(rows.high, 1e-300)
        place = np.clip(BINS + np.floor(np.log2(np.maximum(share, 1e-12))), 0, BINS - 1).astype(np.int64)
        for at, values in enumerate((np.ones(len(place)), rows.expected, rows.reward)):
            self._bins[at] += np.bincount(place, values, BINS)

    def compared(self, confidence: float = 0.95, seed: int = 0) -> Compared:
        """What has come so far."""
        seen = self._decisions > 0.0
        decisions, sums = self._decisions[seen], self._sums[:, :, seen]
        estimates = {
            "challenger": _of_policy(sums[0], decisions, self._rows),
            "incumbent": _of_policy(sums[1], decisions, self._rows),
            "gain": _of_gain(sums[0] - sums[1], decisions),
        }
        ranged = {name: _ranged(ones, confidence, seed) for name, ones in estimates.items()}
        weights = [tally.diagnostics() for tally in self._tallies]
        return Compared(
            decisions=int(decisions.sum()),
            clusters=int(seen.sum()),
            challenger=ranged["challenger"],
            incumbent=ranged["incumbent"],
            gain=ranged["gain"],
            challenger_weights=weights[0],
            incumbent_weights=weights[1],
            calibration=self._calibration(),
            verdict=self._verdict(ranged, weights, int(seen.sum())),
        )

    def _calibration(self) -> list[CalibrationBin]:
        return [
            CalibrationBin(int(rows), float(expected / rows), float(reward / rows))
            for rows, expected, reward in self._bins.T
            if rows > 0.0
        ]

    def _verdict(self, ranged: dict[str, dict[str, Ranged]], weights: list[Diagnostics], clusters: int) -> Verdict:
        if clusters == 0:
            return Verdict(trustworthy=False, reasons=["the log holds no decision that could be judged"], cautions=[])
        reasons, cautions = [], []
        if clusters < CLUSTERS_MIN:
            reasons.append(f"the log holds decisions of {clusters} people; at least {CLUSTERS_MIN} are needed")
        for name, figures in zip(("challenger", "incumbent"), weights, strict=True):
            # Per row, as are the bounds: a decision may have several.
            doubly_robust = ranged[name]["dr"].value * self._decisions.sum() / figures.rows
            bounds = Bounds(figures.weight_max, self._low, self._high)
            judged = verdict.judge(figures, doubly_robust, bounds)
            reasons += [f"of the {name}: {reason}" for reason in judged.reasons]
            cautions += [f"of the {name}: {caution}" for caution in judged.cautions]
        found = self._difference.diagnostics()
        if found.weight_max > 0.0 and found.effective_rewards < EFFECTIVE_REWARDS_MIN:
            reasons.append(
                f"where the two differ there are {found.effective_rewards:.1f} effective rewards;"
                f" at least {EFFECTIVE_REWARDS_MIN:.0f} are needed"
            )
        elif found.weight_max > 0.0 and found.effective_rewards < EFFECTIVE_REWARDS_WANTED:
            cautions.append(
                f"the gain rests on {found.effective_rewards:.1f} effective rewards: its interval may be too short"
            )
        return Verdict(not reasons, reasons, cautions)


def _check(rows: Rows) -> None:
    numbers = (rows.reward, rows.expected, *rows.challenger, *rows.incumbent)
    if not all(np.isfinite(one).all() for one in numbers):
        raise ValueError("a reward, a weight or an expectation is not finite")
    if min(rows.challenger.weight.min(initial=0.0), rows.incumbent.weight.min(initial=0.0)) < 0.0:
        raise ValueError("a weight is negative")
    if rows.reward.min(initial=rows.low) < rows.low or rows.reward.max(initial=rows.high) > rows.high:
        raise ValueError(f"a reward is outside {rows.low:g} to {rows.high:g}")


def _of_policy(sums: F64, decisions: F64, rows: int) -> dict[str, Estimate]:
    """Of sums (columns, clusters); snips is normalised by the weights of the rows a decision has."""
    rewarded, corrected, expected, weight = sums
    return {
        "ips": Estimate(rewarded, decisions, np.inf),
        "snips": Estimate(rewarded, weight * float(decisions.sum()) / max(rows, 1), np.inf),
        "dm": Estimate(expected, decisions, np.inf),
        "dr": Estimate(expected + rewarded - corrected, decisions, np.inf),
    }


def _of_gain(difference: F64, decisions: F64) -> dict[str, Estimate]:
    rewarded, corrected, expected, _ = difference
    return {
        "ips": Estimate(rewarded, decisions, np.inf),
        "dr": Estimate(expected + rewarded - corrected, decisions, np.inf),
    }


def _ranged(estimates: dict[str, Estimate], confidence: float, seed: int) -> dict[str, Ranged]:
    if not all(len(estimate.normaliser) for estimate in estimates.values()):
        return {name: Ranged(np.nan, _OPEN) for name in estimates}
    intervals = bootstrap.intervals(list(estimates.values()), confidence, seed=seed)
    return {
        name: Ranged(estimate.value, interval)
        for (name, estimate), interval in zip(estimates.items(), intervals, strict=True)
    }
