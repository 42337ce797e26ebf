"""The estimators of off-policy evaluation: by hand on three rows, and without bias where they promise none."""

from typing import Any

import numpy as np
import pytest

from bandits.evaluation import importance, slate
from bandits.evaluation.clipped_ips import clipped_ips
from bandits.evaluation.direct_method import direct_method
from bandits.evaluation.doubly_robust import doubly_robust
from bandits.evaluation.estimate import Bounds, Estimate, plain
from bandits.evaluation.evaluation import evaluate
from bandits.evaluation.ips import ips
from bandits.evaluation.logged import LoggedBandit
from bandits.evaluation.regression import Expected, expect
from bandits.evaluation.snips import snips
from bandits.evaluation.switch_dr import switch_dr
from tests.unit import logged_world

WEIGHT = np.array([0.5, 4.0, 1.5])
REWARD = np.array([1.0, 1.0, 0.0])
EXPECTED = Expected(np.array([0.5, 0.25, 0.5]), np.array([0.25, 0.5, 0.75]), np.array([0, 1, 2]))
BOUNDS = Bounds(5.0, 0.0, 1.0)


def test_by_hand() -> None:
    assert ips(WEIGHT, REWARD, BOUNDS).value == pytest.approx(4.5 / 3)
    assert snips(WEIGHT, REWARD, BOUNDS).value == pytest.approx(4.5 / 6)
    assert clipped_ips(WEIGHT, REWARD, BOUNDS, 2.0)[0].value == pytest.approx(2.5 / 3)
    assert direct_method(EXPECTED, BOUNDS).value == pytest.approx(0.5)
    corrections = [0.5 * 0.5, 4.0 * 0.75, 1.5 * -0.5]
    assert doubly_robust(WEIGHT, REWARD, EXPECTED, BOUNDS).value == pytest.approx(0.5 + sum(corrections) / 3)
    switched, limit = switch_dr(WEIGHT, REWARD, EXPECTED, BOUNDS, 1.5)
    assert switched.value == pytest.approx(0.5 + (corrections[0] + corrections[2]) / 3)
    assert limit == 1.5


def test_what_no_row_can_exceed_bounds_every_contribution() -> None:
    rng = np.random.default_rng(3)
    weight, reward, q, v = (
        rng.uniform(0, 5, 500),
        rng.uniform(-1, 2, 500),
        rng.uniform(-1, 2, 500),
        rng.uniform(-1, 2, 500),
    )
    bounds = Bounds(5.0, -1.0, 2.0)
    expected = Expected(q, v, np.zeros(500, np.int64))
    for estimate in (
        ips(weight, reward, bounds),
        snips(weight, reward, bounds),
        clipped_ips(weight, reward, bounds, 3.0)[0],
        direct_method(expected, bounds),
        doubly_robust(weight, reward, expected, bounds),
        switch_dr(weight, reward, expected, bounds, 3.0)[0],
    ):
        for mean in (-1.0, 0.3, 2.0):
            assert np.ptp(estimate.contributions - mean * estimate.normaliser) <= estimate.span


def test_the_limit_stays_when_clipping_costs_more_than_it_saves() -> None:
    rng = np.random.default_rng(5)
    even = rng.uniform(0.9, 1.1, 2_000)
    assert clipped_ips(even, np.ones(2_000), BOUNDS)[1] > 0.99 * even.max()
    heavy = np.append(even, 3_000.0)
    _, limit = clipped_ips(heavy, np.append(rng.integers(0, 2, 2_000), 1.0), Bounds(5e4, 0.0, 1.0))
    assert limit < 3_000.0


def test_a_limit_that_changes_nothing_is_the_highest() -> None:
    weight = np.arange(1.0, 101.0)
    assert clipped_ips(weight, np.zeros(100), Bounds(200.0, 0.0, 1.0))[1] == 100.0


def test_no_bias_over_many_logs() -> None:
    truth = logged_world.value()
    found: dict[str, list[float]] = {}
    for seed in range(120):
        log, target = logged_world.logged(np.random.default_rng([1, seed]), 400)
        bounds = importance.bounds(log, target)
        weight = importance.weights(log, target)
        expected = expect(log, target, bounds)
        found.setdefault("ips", []).append(ips(weight, log.reward, bounds).value)
        found.setdefault("snips", []).append(snips(weight, log.reward, bounds).value)
        found.setdefault("dr", []).append(doubly_robust(weight, log.reward, expected, bounds).value)
    for name, values in found.items():
        assert abs(np.mean(values) - truth) < 3.5 * np.std(values) / np.sqrt(len(values)), name
    assert np.std(found["dr"]) < np.std(found["ips"])


def slates(slots: int, seed: int, slates: int = 4_000) -> tuple[LoggedBandit, np.ndarray[Any, Any]]:
    """Uniformly drawn slates over 3 actions; action a in slot k is rewarded with chance (a + 1) / 10 / (k + 1)."""
    rng = np.random.default_rng(seed)
    n = slates * slots
    position, action = np.tile(np.arange(slots), slates), rng.integers(0, 3, n)
    reward = (rng.random(n) < (action + 1) / 10 / (position + 1)).astype(np.float64)
    log = LoggedBandit(
        rng.normal(size=(n, 2)), action, reward, np.full(n, 1 / 3), 3, position, np.repeat(np.arange(slates), slots)
    )
    return log, np.tile([0.0, 0.25, 0.75], (n, 1))


def test_a_slate_is_the_sum_of_its_slots() -> None:
    log, target = slates(3, 1)
    truth = (0.25 * 0.2 + 0.75 * 0.3) * (1 + 1 / 2 + 1 / 3)
    for with_ids in (log, log._replace(slate_id=None)):
        result = evaluate(with_ids, target)
        for name in ("ips", "snips", "dr"):
            judged = result.of_slate[name]
            assert judged.value == pytest.approx(truth, abs=0.05), name
            assert judged.value == pytest.approx(3 * result.estimates[name].value, rel=0.03)
            assert judged.bootstrap.low < truth < judged.bootstrap.high
            assert judged.bernstein.low < truth < judged.bernstein.high


def test_slots_of_unequal_length_count_by_their_own_mean() -> None:
    rows = plain(np.array([1.0, 3.0, 10.0]), 1.0)
    assert slate.per_slate(rows, np.array([0, 0, 1])).value == pytest.approx(2.0 + 10.0)
    weighted = Estimate(np.array([2.0, 0.0, 1.0]), np.array([2.0, 2.0, 4.0]), 1.0)
    assert slate.per_slate(weighted, np.array([0, 0, 1])).value == pytest.approx(0.5 + 0.25)


def test_what_no_row_can_exceed_bounds_every_slate() -> None:
    position, slate_id = np.array([0, 0, 0, 1, 0, 1]), np.array([0, 1, 2, 2, 3, 3])
    rows = plain(np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0]), 1.0)
    for ids in (None, slate_id):
        whole = slate.per_slate(rows, position, ids)
        assert whole.value == pytest.approx(0.5 + 0.5)
        assert np.ptp(whole.contributions) <= whole.span
    assert slate.per_slate(rows, position).span == 3.0
    assert slate.per_slate(rows, position, slate_id).span == 4.0


def test_rows_of_a_slate_that_answer_together_widen_the_interval() -> None:
    log, target = slates(2, 2, slates=1_000)
    together = log._replace(reward=np.repeat(log.reward[::2], 2), action=np.repeat(log.action[::2], 2))
    alone = evaluate(together._replace(slate_id=None), target)
    known = evaluate(together, target)
    width, honest = (np.ptp(result.estimates["ips"].bootstrap) for result in (alone, known))
    assert honest == pytest.approx(np.sqrt(2) * width, rel=0.15)


def test_a_log_of_hundreds_of_actions_is_regressed_to_what_is_known() -> None:
    rng = np.random.default_rng(4)
    n, actions = 20_000, 300
    own = rng.normal(0.5, 0.2, actions)
    action, context = rng.integers(0, actions, n), rng.normal(size=(n, 10))
    reward = own[action] + 0.3 * context[:, 0] + rng.normal(0.0, 0.5, n)
    log = LoggedBandit(context, action, reward, np.full(n, 1 / actions), actions, np.zeros(n, np.int64), None)
    target = np.zeros((n, actions))
    target[:, own.argmax()] = 1.0
    expected = expect(log, target, importance.bounds(log, target))
    truth = own[action] + 0.3 * context[:, 0]
    assert np.corrcoef(expected.logged, truth)[0, 1] > 0.95
    assert expected.target.mean() == pytest.approx(own.max(), abs=0.15)


def test_where_the_context_tells_nothing_nothing_is_fitted() -> None:
    rng = np.random.default_rng(6)
    n = 2_000
    log = LoggedBandit(
        rng.normal(size=(n, 20)),
        rng.integers(0, 10, n),
        (rng.random(n) < 0.05).astype(float),
        np.full(n, 0.1),
        10,
        np.zeros(n, np.int64),
        None,
    )
    expected = expect(log, np.full((n, 10), 0.1), Bounds(1.0, 0.0, 1.0))
    assert expected.logged.std() < 0.02  # 0.08 without shrinkage
