"""A log whose weights explode is refused in words; a healthy one is not."""

import numpy as np
import pytest

from bandits.evaluation import diagnostics, verdict
from bandits.evaluation.estimate import Bounds
from bandits.evaluation.evaluation import evaluate
from bandits.evaluation.logged import LoggedBandit
from bandits.evaluation.regression import Expected
from tests.unit import logged_world

BOUNDS = Bounds(100.0, 0.0, 1.0)


def judged(weight: np.ndarray, reward: np.ndarray | None = None, dr: float = 0.5) -> verdict.Verdict:
    reward = np.tile([0.0, 1.0], len(weight) // 2) if reward is None else reward
    return verdict.judge(diagnostics.diagnose(weight, reward), dr, BOUNDS)


def test_a_healthy_log_is_believed() -> None:
    log, target = logged_world.logged(np.random.default_rng(1), 5_000)
    result = evaluate(log, target)
    assert result.verdict == verdict.Verdict(True, [], [])
    assert result.estimates["dr"].bootstrap.low < logged_world.value() < result.estimates["dr"].bootstrap.high


def test_an_exploding_log_is_refused_in_words() -> None:
    """As the women's campaign of the Open Bandit Dataset: 10,000 rows, one of which has a pscore of one in 87,000."""
    log, target = logged_world.logged(np.random.default_rng(2), 10_000)
    uniform = np.full(target.shape, 1 / 4)
    pscore = np.full(10_000, 0.25)
    pscore[17] = 0.25 / 21_739
    result = evaluate(log._replace(pscore=pscore), uniform)
    assert not result.verdict.trustworthy
    assert result.diagnostics.weight_max == pytest.approx(21_739)
    assert 2 < result.diagnostics.effective_rows < 3
    text = "\n".join(result.verdict.reasons)
    assert "tell as much as 2.1 rows" in text
    assert "one row carries 68% of all weight (its weight is 21,739)" in text
    assert "the mean weight is 3.17 and should be 1" in text


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones(98), "tell as much as 98.0 rows"),
        (np.full(5_000, 0.9), "the mean weight is 0.9 and should be 1: the target does what the log never did"),
        (np.full(5_000, 1.1), "the mean weight is 1.1 and should be 1: the target does what the log hardly ever did"),
        (np.append(np.ones(1_999), 240.0), "one row carries 11% of all weight"),
        (np.zeros(1_000), "tell as much as 0.0 rows"),
    ],
)
def test_each_reason(weight: np.ndarray, words: str) -> None:
    found = judged(weight)
    assert not found.trustworthy
    assert any(words in reason for reason in found.reasons), found.reasons


def test_an_estimate_on_a_handful_of_rewards_is_refused_and_on_few_is_cautioned() -> None:
    weight = np.ones(10_000)
    for rewards, trustworthy, cautions in ((4, False, 0), (12, True, 1), (60, True, 0)):
        found = judged(weight, (np.arange(10_000) < rewards).astype(np.float64), 0.001)
        assert (found.trustworthy, len(found.cautions)) == (trustworthy, cautions)
    assert "4.0 effective rewards" in judged(weight, (np.arange(10_000) < 4).astype(np.float64), 0.001).reasons[0]


def test_a_value_no_reward_can_have_is_refused() -> None:
    assert "-0.0068 is outside the rewards possible (0 to 1)" in judged(np.ones(1_000), dr=-0.0068).reasons[0]


def test_what_the_target_never_does_is_told() -> None:
    assert judged(np.tile([2.0, 0.0, 0.0, 2.0], 500)).cautions == [
        "the target never takes the logged action in 50.0% of the rows"
    ]


def test_calibration_is_in_order_and_complete() -> None:
    rng = np.random.default_rng(3)
    chance = rng.uniform(0.0, 0.5, 20_000)
    reward = (rng.random(20_000) < chance).astype(np.float64)
    bins = diagnostics.calibration(Expected(chance, chance, rng.integers(0, 5, 20_000)), reward)
    assert sum(part.rows for part in bins) == 20_000
    assert [part.expected for part in bins] == sorted(part.expected for part in bins)
    assert all(part.reward == pytest.approx(part.expected, abs=0.035) for part in bins)


def test_too_few_rows_for_ten_bins_are_fewer_bins() -> None:
    log = LoggedBandit(
        np.zeros((3, 0)), np.array([0, 1, 0]), np.ones(3), np.full(3, 0.5), 2, np.zeros(3, np.int64), None
    )
    result = evaluate(log, np.full((3, 2), 0.5))
    assert sum(part.rows for part in result.calibration) == 3
    assert result.estimates["dr"].value == pytest.approx(1.0)
    assert not result.verdict.trustworthy
