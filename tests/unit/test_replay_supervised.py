"""The logistic model of all outcomes: against a general optimiser, and what each form of it was fitted to."""

import numpy as np
import pytest
from scipy.optimize import minimize

from service.replay import supervised


def world(seed: int, rounds: int = 400, arms: int = 4, dims: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(rounds, arms, dims)).astype(np.float32)
    phi[:, :, 0] = 1.0
    eta = phi @ np.array([-1.0, 1.5, -0.7])
    return phi, (rng.random(eta.shape) < 1.0 / (1.0 + np.exp(-eta))).astype(np.float64)


def test_the_mode_is_that_of_a_general_optimiser() -> None:
    phi, reward = world(1)
    x, y = phi.reshape(-1, 3), reward.ravel()

    def objective(w: np.ndarray) -> float:
        eta = x @ w
        return float(np.logaddexp(0.0, eta).sum() - y @ eta + 0.5 * supervised.RIDGE * w @ w)

    truth = minimize(objective, np.zeros(3), tol=1e-10).x
    assert supervised.fit(x, y) == pytest.approx(truth, abs=2e-3)


def test_weights_that_would_run_away_are_held_by_the_ridge() -> None:
    x = np.array([[1.0], [1.0], [-1.0]], np.float32)
    w = supervised.fit(x, np.array([1.0, 1.0, 0.0]))
    assert 0.5 < w[0] < 2.0


def test_in_sample_is_greedy_in_the_fitted_model() -> None:
    phi, reward = world(2)
    chosen = supervised.in_sample(phi, reward)
    assert np.array_equal(chosen, (phi @ supervised.fit(phi.reshape(-1, 3), reward.ravel())).argmax(axis=1))
    earned = reward[np.arange(len(phi)), chosen].mean()
    assert earned > reward.mean() + 0.2


def test_a_column_of_zeros_changes_nothing() -> None:
    phi, reward = world(2)
    wider = np.concatenate([phi[:, :, :1], np.zeros_like(phi[:, :, :2]), phi[:, :, 1:]], axis=2)
    assert np.array_equal(supervised.varied(wider), phi)
    assert np.array_equal(supervised.in_sample(wider, reward), supervised.in_sample(phi, reward))


def test_out_of_fold_never_sees_its_own_fold() -> None:
    phi, reward = world(3)
    fold = np.arange(len(phi)) % 5
    before = supervised.out_of_fold(phi, reward, fold)
    changed = reward.copy()
    changed[fold == 2] = 1.0 - changed[fold == 2]
    after = supervised.out_of_fold(phi, changed, fold)
    assert np.array_equal(before[fold == 2], after[fold == 2])
    assert not np.array_equal(before[fold != 2], after[fold != 2])


def test_only_the_outcomes_told_are_trained_on() -> None:
    phi, reward = world(4)
    fold = np.arange(len(phi)) % 2
    kept = supervised.contenders(phi[:, :, 1], 2)
    changed = np.where(kept, reward, 1.0 - reward)
    assert np.array_equal(
        supervised.out_of_fold(phi, reward, fold, kept), supervised.out_of_fold(phi, changed, fold, kept)
    )


def test_contenders_are_the_highest() -> None:
    score = np.array([[3.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    assert supervised.contenders(score, 2).tolist() == [[True, False, True, False], [False, False, True, True]]
    assert supervised.contenders(score, 9).all()
