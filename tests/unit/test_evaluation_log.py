"""A log or target with anything wrong is refused, by the name of the array."""

from typing import Any

import numpy as np
import pytest

from bandits.evaluation import importance, logged
from bandits.evaluation.evaluation import evaluate
from bandits.evaluation.logged import NotALogError, checked_log, checked_target

N, K = 6, 3


def arrays(**changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "context": np.zeros((N, 2), np.float32),
        "action": np.array([0, 1, 2, 0, 1, 2]),
        "reward": np.array([0, 1, 0, 1, 0, 1]),
        "pscore": np.full(N, 0.5),
        "n_actions": np.array(K),
    }
    return {name: value for name, value in (given | changed).items() if value is not None}


def changed(values: Any, at: int, value: Any) -> Any:
    values = np.array(values)
    values[at] = value
    return values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context", None),
        ("context", np.zeros(N)),
        ("context", np.zeros((N - 1, 2))),
        ("context", np.full((N, 2), np.nan)),
        ("context", np.full((N, 2), "x")),
        ("context", np.zeros((N, logged.COLUMNS_MAX + 1))),
        ("action", None),
        ("action", np.zeros(N)),
        ("action", np.zeros((N, 1), int)),
        ("action", np.array([0, 1, 2, 3, 0, 0])),
        ("action", np.array([0, 1, 2, -1, 0, 0])),
        ("action", np.zeros(1, int)),
        ("reward", None),
        ("reward", np.zeros(N + 1)),
        ("reward", changed(np.zeros(N), 2, np.inf)),
        ("reward", changed(np.zeros(N), 2, 1e60)),
        ("reward", np.zeros(N, complex)),
        ("pscore", None),
        ("pscore", changed(np.full(N, 0.5), 3, 0.0)),
        ("pscore", changed(np.full(N, 0.5), 3, 1.01)),
        ("pscore", changed(np.full(N, 0.5), 3, -0.1)),
        ("pscore", changed(np.full(N, 0.5), 3, np.nan)),
        ("pscore", changed(np.full(N, 0.5), 3, 1e-200)),
        ("pscore", np.full((N, 1), 0.5)),
        ("n_actions", None),
        ("n_actions", np.array(0)),
        ("n_actions", np.array([3, 3])),
        ("n_actions", np.array(3.0)),
        ("n_actions", np.array(logged.ACTIONS_MAX + 1)),
        ("position", np.zeros(N)),
        ("position", np.full(N, -1)),
        ("position", np.zeros(N - 1, int)),
        ("position", np.full(N, logged.SLOTS_MAX)),
        ("slate_id", np.zeros(N)),
        ("slate_id", np.zeros((N, 2), int)),
    ],
)
def test_a_wrong_array_is_named(name: str, value: Any) -> None:
    with pytest.raises(NotALogError, match=f"^{name}: "):
        checked_log(arrays(**{name: value}))


@pytest.mark.parametrize(
    "target",
    [
        np.full(N, 1 / K),
        np.full((N - 1, K), 1 / K),
        np.full((N, K + 1), 1 / (K + 1)),
        np.full((N, K, 1, 1), 1 / K),
        np.full((N, K), 0.34),
        changed(np.full((N, K), 1 / K), 2, [1.5, -0.5, 0.0]),
        changed(np.full((N, K), 1 / K), 2, np.nan),
        np.full((N, K), "x"),
    ],
)
def test_a_wrong_target_is_refused(target: Any) -> None:
    with pytest.raises(NotALogError, match=r"^action_dist: "):
        checked_target(target, checked_log(arrays()))


def test_each_row_is_asked_of_its_own_slot() -> None:
    log = checked_log(arrays(position=np.array([0, 1, 0, 1, 0, 1])))
    target = np.zeros((N, K, 2))
    target[:, 0, 0] = target[:, 2, 1] = 1.0
    assert checked_target(target, log).argmax(axis=1).tolist() == [0, 2, 0, 2, 0, 2]
    assert checked_target(target[:, :, 0], log).argmax(axis=1).tolist() == [0] * N
    with pytest.raises(NotALogError, match=r"^position: slot 1"):
        checked_target(target[:, :, :1], log)


def test_slates_are_numbered_from_zero() -> None:
    log = checked_log(arrays(slate_id=np.array([70, 70, 5, 5, 9, 9])))
    assert log.slate_id is not None
    assert log.slate_id.tolist() == [2, 2, 0, 0, 1, 1]


def test_bounds_given_hold_or_are_refused() -> None:
    log = checked_log(arrays())
    target = checked_target(np.full((N, K), 1 / K), log)
    assert importance.bounds(log, target) == pytest.approx((2 / 3, 0.0, 1.0))
    assert importance.bounds(log, target, 50.0, (-1.0, 2.0)) == (50.0, -1.0, 2.0)
    with pytest.raises(ValueError, match=r"^pscore: a weight of 0\.6"):
        importance.bounds(log, target, 0.5)
    for reward_range in ((0.0, 0.5), (0.1, 2.0)):
        with pytest.raises(ValueError, match=r"^reward: 0 to 1"):
            importance.bounds(log, target, None, reward_range)


def test_the_smallest_pscore_and_the_greatest_reward_overflow_nothing() -> None:
    pscore, reward = np.full(N, logged.PSCORE_MIN), np.full(N, logged.NUMBER_MAX)
    log = checked_log(arrays(pscore=pscore, reward=changed(reward, 0, -logged.NUMBER_MAX)))
    result = evaluate(log, checked_target(np.full((N, K), 1 / K), log))
    assert not result.verdict.trustworthy
    assert all(np.isfinite(judged.value) for judged in result.estimates.values())
