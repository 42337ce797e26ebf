"""Confidence sequences: no false alarm for looking often, and a true lift is found."""

import math

import numpy as np
import pytest

from bandits.evaluation import confidence_sequence as cs
from bandits.evaluation.confidence_sequence import ConfidenceSequence, boundary
from bandits.evaluation.estimate import Bounds
from bandits.evaluation.lift import Lift
from bandits.evaluation.running_gain import RunningGain

RUNS = 2_000


def test_one_value_by_hand() -> None:
    """After one value of 0.5 the forecast was right: no variation, and the largest rate decides alone."""
    sequence = ConfidenceSequence(0.0, 1.0)
    sequence.add([0.5])
    assert float(sequence.variation) == 0.0
    assert sequence.bounds() == (0.0, 1.0)
    many = ConfidenceSequence(0.0, 2.0)
    many.add(np.ones(1_000))
    low, high = many.bounds()
    reach = float(boundary(np.zeros(()), 0.025))
    assert (low, high) == pytest.approx((1.0 - 2.0 * reach / 1_000, 1.0 + 2.0 * reach / 1_000))
    assert math.log(1 / 0.025) / 0.95 < reach < 12.0


def test_a_forecast_is_made_before_its_value() -> None:
    sequence = ConfidenceSequence(0.0, 2.0)
    sequence.add([2.0, 0.0])
    assert float(sequence.variation) == pytest.approx(0.5**2 + (1.5 / 2) ** 2)


def test_both_groups_share_what_may_go_wrong() -> None:
    rng = np.random.default_rng(5)
    treated, holdout = rng.random(3_000) < 0.4, rng.random(500) < 0.3
    lift, one, other = Lift(confidence=0.9), ConfidenceSequence(0.0, 1.0, 0.95), ConfidenceSequence(0.0, 1.0, 0.95)
    lift.add(treated, holdout)
    one.add(treated)
    other.add(holdout)
    (low, high), (base_low, base_high) = one.bounds(), other.bounds()
    assert lift.difference() == pytest.approx((low - base_high, high - base_low))
    assert lift.ratio() == pytest.approx((low / base_high, high / base_low))


def test_the_boundary_is_where_the_mixture_reaches_one_over_the_tail() -> None:
    variation = np.geomspace(1e-3, 1e10, 27)
    rates = cs.RATES
    for tail in (0.025, 0.001):
        reach = boundary(variation, tail)
        psi = -np.log1p(-rates) - rates
        exponents = cs._LOG_WEIGHTS + rates * reach[:, None] - psi * variation[:, None]
        wealth = np.log(np.exp(exponents).sum(axis=1))
        assert (wealth >= math.log(1 / tail) - 1e-9).all()
        assert (wealth <= math.log(1 / tail) + 1e-3).all()
    assert np.exp(cs._LOG_WEIGHTS).sum() == pytest.approx(1.0)


def test_it_is_at_most_twice_as_wide_as_an_interval_for_one_look() -> None:
    for count, factor in ((1_000, 2.2), (10_000, 1.9), (1_000_000, 1.8)):
        variation = np.array(0.1 * 0.9 * count)
        assert boundary(variation, 0.025) < factor * 1.96 * np.sqrt(variation)


def test_no_false_alarm_under_optional_stopping() -> None:
    """2,000 experiments without an effect, each looked at 60 times and stopped when it looks like one."""
    rng = np.random.default_rng(1)
    lift = Lift(streams=(RUNS,))
    one = ConfidenceSequence(0.0, 1.0, streams=(RUNS,))
    alarms, misses, naive = np.zeros((3, RUNS), bool)
    for _ in range(60):
        treated, holdout = rng.random((RUNS, 80)) < 0.1, rng.random((RUNS, 20)) < 0.1
        lift.add(treated, holdout)
        one.add(treated)
        low, high = lift.difference()
        alarms |= (low > 0.0) | (high < 0.0)
        low, high = one.bounds()
        misses |= (low > 0.1) | (high < 0.1)
        difference = lift.treated.mean() - lift.holdout.mean()
        error = np.sqrt(0.09 / lift.treated.count + 0.09 / lift.holdout.count)
        naive |= np.abs(difference) > 1.96 * error
    assert alarms.mean() <= 0.05
    assert misses.mean() <= 0.05
    assert naive.mean() > 0.25, "an interval for one look must fail here, else this test shows nothing"


def test_a_lift_of_ten_per_cent_is_found() -> None:
    """30 % against 33 %, half of the people each: found in all runs within 70,000 people, in half of them within 30,000."""
    rng = np.random.default_rng(2)
    runs, block = 100, 1_000
    lift = Lift(streams=(runs,))
    people = np.full(runs, np.inf)
    for look in range(1, 36):
        lift.add(rng.random((runs, block)) < 0.33, rng.random((runs, block)) < 0.30)
        low, high = lift.difference()
        people = np.where((low > 0.0) & np.isinf(people), 2 * block * look, people)
        assert (low <= 0.03).all()
        assert (high >= 0.03).all()
    assert np.median(people) <= 30_000
    assert people.max() <= 70_000
    low, high = lift.ratio()
    assert ((low > 1.0) & (low < 1.1) & (high > 1.1) & (high < 1.3)).all()


def test_drifting_means_are_covered_in_the_mean() -> None:
    rng = np.random.default_rng(3)
    sequence = ConfidenceSequence(0.0, 1.0, streams=(500,))
    means, missed = np.zeros(0), np.zeros(500, bool)
    for week in range(50):
        rate = 0.1 + 0.08 * np.sin(week / 4.0)
        sequence.add(rng.random((500, 100)) < rate)
        means = np.append(means, np.full(100, rate))
        low, high = sequence.bounds()
        missed |= (low > means.mean()) | (high < means.mean())
    assert missed.mean() <= 0.05


def test_a_better_challenger_is_found_and_an_equal_one_is_not() -> None:
    """The log draws evenly of four offers worth 0.05, 0.10, 0.15, 0.20; the challenger takes the last, or draws evenly too."""
    rng = np.random.default_rng(4)
    worth = np.array([0.05, 0.10, 0.15, 0.20])
    action = rng.integers(0, 4, (50, 4_000))
    reward = rng.random((50, 4_000)) < worth[action]
    better = RunningGain(Bounds(4.0, 0.0, 1.0), baseline=0.12, streams=(50,))
    better.add(np.where(action == 3, 4.0, 0.0), reward)
    assert (better.bounds()[0] > 0.0).all()
    assert better.mean().mean() == pytest.approx(0.075, abs=0.01)
    equal = RunningGain(Bounds(4.0, 0.0, 1.0), baseline=0.12, streams=(50,))
    equal.add(np.ones((50, 4_000)), reward)
    assert equal.mean() == pytest.approx(np.zeros(50), abs=1e-12)
    assert (equal.bounds()[0] < 0.0).all()


def test_nothing_seen_is_the_whole_range() -> None:
    assert ConfidenceSequence(-1.0, 3.0).bounds() == (-1.0, 3.0)
    lift = Lift()
    lift.add([1.0, 0.0], [])
    assert lift.difference() == (-1.0, 1.0)
    assert lift.ratio() == (0.0, np.inf)


def test_what_would_void_the_promise_is_refused() -> None:
    with pytest.raises(ValueError, match="outside 0 to 1"):
        ConfidenceSequence(0.0, 1.0).add([0.5, 1.1])
    with pytest.raises(ValueError, match="outside 0 to 1"):
        ConfidenceSequence(0.0, 1.0).add([np.nan])
    with pytest.raises(ValueError, match="shape"):
        ConfidenceSequence(0.0, 1.0, streams=(3,)).add(np.zeros(3))
    with pytest.raises(ValueError, match="no range"):
        ConfidenceSequence(1.0, 1.0)
    with pytest.raises(ValueError, match="a weight"):
        RunningGain(Bounds(4.0, 0.0, 1.0)).add([4.5], [1.0])
    with pytest.raises(ValueError, match="a reward"):
        RunningGain(Bounds(4.0, 0.0, 1.0)).add([1.0], [2.0])
    with pytest.raises(ValueError, match="ratio"):
        Lift(low=-1.0).ratio()
