"""Intervals: the formula by hand, and how often they hold the truth."""

from math import log, sqrt

import numpy as np
import pytest

from bandits.evaluation import bootstrap, empirical_bernstein, importance
from bandits.evaluation.doubly_robust import doubly_robust
from bandits.evaluation.estimate import Bounds, clustered, plain
from bandits.evaluation.ips import ips
from bandits.evaluation.regression import expect
from bandits.evaluation.snips import snips
from tests.unit import logged_world

LOGS, ROWS, RESAMPLES = 1_000, 500, 400


def test_empirical_bernstein_by_hand() -> None:
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    tail = log(4 / 0.1)
    width = sqrt(2 * 0.3 * tail / 5) + 7 * 2.0 * tail / (3 * 4)
    assert empirical_bernstein.interval(plain(values, 2.0), 0.9) == pytest.approx((0.6 - width, 0.6 + width))


def test_a_self_normalised_interval_with_equal_weights_is_the_plain_one() -> None:
    rng = np.random.default_rng(1)
    reward = (rng.random(3_000) < 0.3).astype(np.float64)
    weight = np.full(3_000, 0.5)
    weight[0] += 1e-9  # so that the general way is taken
    ratio = empirical_bernstein.interval(snips(weight, reward, Bounds(0.5, 0.0, 1.0)))
    assert ratio == pytest.approx(empirical_bernstein.interval(plain(reward, 1.0)), abs=1e-6)


def test_nothing_is_said_where_nothing_carries_weight() -> None:
    estimate = snips(np.zeros(10), np.ones(10), Bounds(1.0, 0.0, 1.0))
    assert bootstrap.intervals([estimate]) == [(-np.inf, np.inf)]
    assert empirical_bernstein.interval(estimate) == (-np.inf, np.inf)


def test_two_rewards_leave_the_upper_side_open() -> None:
    rewards = np.zeros(1_000)
    rewards[:2] = 1.0
    (interval,) = bootstrap.intervals([plain(rewards, 1.0)])
    assert interval.high == np.inf
    assert interval.low > -0.01


def test_more_confidence_is_wider_and_the_same_seed_the_same() -> None:
    values = plain(np.random.default_rng(2).exponential(size=400), 10.0)
    for kind in (
        lambda level: bootstrap.intervals([values], level)[0],
        lambda level: empirical_bernstein.interval(values, level),
    ):
        widths = [np.ptp(kind(level)) for level in (0.8, 0.9, 0.99)]
        assert widths == sorted(widths)
        assert kind(0.9) == kind(0.9)


def test_clusters_of_equal_rows_are_fewer_rows() -> None:
    values = np.random.default_rng(3).normal(size=200)
    alone = bootstrap.intervals([plain(values, 1.0)])
    together = bootstrap.intervals([clustered(plain(np.repeat(values, 3), 1.0), np.repeat(np.arange(200), 3))])
    assert together[0] == pytest.approx(alone[0])


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    truth = logged_world.value()
    held = {name: np.zeros(2, int) for name in ("ips", "snips", "dr")}
    for seed in range(LOGS):
        log_, target = logged_world.logged(np.random.default_rng([2, seed]), ROWS)
        bounds, weight = importance.bounds(log_, target), importance.weights(log_, target)
        estimates = (
            ips(weight, log_.reward, bounds),
            snips(weight, log_.reward, bounds),
            doubly_robust(weight, log_.reward, expect(log_, target, bounds, seed), bounds),
        )
        intervals = bootstrap.intervals(estimates, seed=seed, resamples=RESAMPLES)
        for name, estimate, interval in zip(held, estimates, intervals, strict=True):
            wide = empirical_bernstein.interval(estimate)
            held[name] += (interval.low <= truth <= interval.high, wide.low <= truth <= wide.high)
    for name, (by_bootstrap, by_bernstein) in held.items():
        assert 0.93 * LOGS <= by_bootstrap <= 0.97 * LOGS, (name, by_bootstrap)
        assert by_bernstein >= 0.95 * LOGS, (name, by_bernstein)
