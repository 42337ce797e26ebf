"""What holds of every log: identities of the estimators, slow twins, and blocks that do not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits.evaluation import bootstrap, diagnostics, empirical_bernstein, importance, logged, regression
from bandits.evaluation.clipped_ips import clipped_ips
from bandits.evaluation.confidence_sequence import ConfidenceSequence
from bandits.evaluation.direct_method import direct_method
from bandits.evaluation.doubly_robust import doubly_robust
from bandits.evaluation.estimate import Bounds, clustered, plain
from bandits.evaluation.evaluation import evaluate
from bandits.evaluation.ips import ips
from bandits.evaluation.logged import LoggedBandit
from bandits.evaluation.regression import Expected, expect
from bandits.evaluation.snips import snips
from bandits.evaluation.switch_dr import switch_dr
from tests.reference import evaluation as slow

F64 = NDArray[np.float64]
WIDE = Bounds(1e6, -100.0, 100.0)
seeds = st.integers(0, 2**32 - 1)


def log_of(seed: int) -> tuple[LoggedBandit, F64, F64]:
    """A random log, the target, and the logging policy's probabilities."""
    rng = np.random.default_rng(seed)
    n, actions, dims = int(rng.integers(2, 60)), int(rng.integers(1, 6)), int(rng.integers(0, 4))
    logging, target = rng.dirichlet(np.ones(actions), (2, n))
    logging = 0.8 * logging + 0.2 / actions
    action = (logging.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, actions - 1)
    arrays = {
        "context": rng.normal(size=(n, dims)),
        "action": action,
        "reward": rng.normal(size=n),
        "pscore": logging[np.arange(n), action],
        "n_actions": np.array(actions),
        "position": rng.integers(0, 3, n),
    }
    return logged.checked_log(arrays), target, logging


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_the_logging_policy_earns_the_mean(seed: int) -> None:
    log, _, logging = log_of(seed)
    weight = importance.weights(log, logging)
    for estimate in (
        ips(weight, log.reward, WIDE),
        snips(weight, log.reward, WIDE),
        clipped_ips(weight, log.reward, WIDE)[0],
    ):
        assert estimate.value == pytest.approx(log.reward.mean())
    assert diagnostics.diagnose(weight, log.reward).effective_rows == pytest.approx(len(log.action))


@given(seeds, st.floats(-50, 50))
@settings(max_examples=40, deadline=None)
def test_shifts_and_scales(seed: int, shift: float) -> None:
    log, target, _ = log_of(seed)
    weight = importance.weights(log, target)
    before = snips(weight, log.reward, WIDE).value
    assert snips(weight, log.reward + shift, WIDE).value == pytest.approx(before + shift)
    assert snips(7.0 * weight, log.reward, WIDE).value == pytest.approx(before)
    assert ips(weight, 2.0 * log.reward, WIDE).value == pytest.approx(2.0 * ips(weight, log.reward, WIDE).value)
    assert log.reward.min() - 1e-9 <= before <= log.reward.max() + 1e-9


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_doubly_robust_lies_between_its_parents(seed: int) -> None:
    log, target, _ = log_of(seed)
    weight, bounds = importance.weights(log, target), importance.bounds(log, target)
    expected = expect(log, target, bounds)
    direct, robust = direct_method(expected, bounds), doubly_robust(weight, log.reward, expected, bounds)
    assert doubly_robust(np.zeros_like(weight), log.reward, expected, bounds).value == pytest.approx(direct.value)
    assert doubly_robust(weight, expected.logged, expected, bounds).value == pytest.approx(direct.value)
    nothing = Expected(np.zeros_like(weight), np.zeros_like(weight), expected.fold)
    assert doubly_robust(weight, log.reward, nothing, bounds).value == pytest.approx(
        ips(weight, log.reward, bounds).value
    )
    assert switch_dr(weight, log.reward, expected, bounds, np.inf)[0].value == pytest.approx(robust.value)
    assert switch_dr(weight, log.reward, expected, bounds, -1.0)[0].value == pytest.approx(direct.value)
    assert bounds.reward_low <= direct.value <= bounds.reward_high


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_slow_twins(seed: int) -> None:
    log, target, logging = log_of(seed)
    weight = importance.weights(log, target)
    assert ips(weight, log.reward, WIDE).value == pytest.approx(slow.ips(log, target))
    assert snips(weight, log.reward, WIDE).value == pytest.approx(slow.snips(log, target))
    rewards = 3.0 * logging - 1.0
    rows = np.arange(len(log.action))
    expected = Expected(rewards[rows, log.action], (target * rewards).sum(axis=1), np.zeros(len(rows), np.int64))
    assert doubly_robust(weight, log.reward, expected, WIDE).value == pytest.approx(
        slow.doubly_robust(log, target, rewards)
    )


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_the_regression_is_that_of_the_rows(seed: int) -> None:
    log, _, _ = log_of(seed)
    design = regression._design(log)
    sums = regression._sum(design, log.action, log.reward, log.n_actions, design.shape[1])
    ridge = regression._ridge(sums)
    shared, noise = regression._shared(sums)
    penalty = regression._own_penalty(sums.gram, sums.response - sums.gram @ shared, noise)
    twin = slow.shared_and_own_ridge(design, log.action, log.reward, ridge, penalty, log.n_actions)
    assert regression._coefficients(sums) == pytest.approx(twin, abs=1e-6)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_no_row_has_seen_its_own_reward(seed: int) -> None:
    log, target, _ = log_of(seed)
    before = expect(log, target, WIDE)
    changed = log.reward.copy()
    changed[0] += 10.0
    after = expect(log._replace(reward=changed), target, WIDE)
    same_fold = before.fold == before.fold[0]
    assert after.logged[same_fold] == pytest.approx(before.logged[same_fold])
    assert (before.fold == after.fold).all()


@given(seeds, st.floats(0.6, 0.99))
@settings(max_examples=20, deadline=None)
def test_intervals_hold_the_value_and_move_with_it(seed: int, confidence: float) -> None:
    values = np.random.default_rng(seed).exponential(size=80)
    for shift in (0.0, 5.0):
        estimate = plain(values + shift, 10.0)
        (narrow,), wide = (
            bootstrap.intervals([estimate], confidence, resamples=200),
            empirical_bernstein.interval(estimate, confidence),
        )
        assert wide.low < narrow.low < estimate.value < narrow.high < wide.high
        alone = clustered(estimate, np.arange(80))
        assert bootstrap.intervals([alone], confidence, resamples=200)[0] == pytest.approx(narrow)


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_any_small_log_is_answered(seed: int) -> None:
    log, target, _ = log_of(seed)
    result = evaluate(log, target)
    assert set(result.estimates) == {"ips", "snips", "clipped_ips", "dm", "dr", "switch_dr"}
    assert not result.verdict.trustworthy
    for judged in (*result.estimates.values(), *result.of_slate.values()):
        assert not judged.bootstrap.low > judged.value
        assert not judged.bootstrap.high < judged.value


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 59))
@settings(max_examples=60, deadline=None)
def test_blocks_and_reflection_do_not_matter_to_a_sequence(values: list[float], cut: int) -> None:
    whole, parts, mirrored = (ConfidenceSequence(0.0, 1.0) for _ in range(3))
    whole.add(values)
    parts.add(values[:cut])
    parts.add(values[cut:])
    mirrored.add(1.0 - np.array(values))
    low, high = whole.bounds()
    assert parts.bounds() == pytest.approx((low, high))
    assert mirrored.bounds() == pytest.approx((1.0 - high, 1.0 - low))
    assert 0.0 <= low <= whole.mean() <= high <= 1.0
