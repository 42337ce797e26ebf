"""What the generic learners promise: a full pmf, exact posteriors, late rewards without bias, a state that goes on."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bandits.learners import build
from bandits.learners.learner import DamagedStateError, NotARoundError
from bandits.learners.policy import Policy
from bandits.learners.prior import weak_prior
from bandits.learners.row_model import RowModel
from bandits.learners.rows import AT_ONCE, Arrivals
from bandits.prior import Prior

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
DIMS = 4
TRUE = np.array([1.0, -1.0, 0.5, 0.0])


def rounds(count: int, seed: int = 0) -> tuple[F32, F64]:
    """Rows with an answer each, at a chance of about 0.15."""
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(count, DIMS)).astype(np.float32)
    return phi, (rng.random(count) < 1 / (1 + np.exp(2 - phi @ TRUE))).astype(np.float64)


def learner(name: str, **options: float) -> Policy:
    return build.learner(name, Prior(np.zeros(DIMS), np.ones(DIMS)), build.Options(intercept_sd=3.0, **options))


def taught(name: str, count: int = 300) -> Policy:
    policy = learner(name)
    for row, reward in zip(*rounds(count), strict=True):
        policy.learn(row, reward, 0.5)
    return policy


def model_of(policy: Policy) -> RowModel:
    assert isinstance(policy.model, RowModel)
    return policy.model


@pytest.mark.parametrize("name", build.NAMES)
def test_every_policy_gives_a_full_pmf_over_the_mask(name: str) -> None:
    policy, (phi, _) = taught(name, 60), rounds(9, 1)
    mask = np.arange(9) % 4 != 0
    pmf = policy.score(phi, mask)
    assert pmf[~mask].tolist() == [0.0, 0.0, 0.0]
    assert pmf[mask].min() > 0.0
    assert pmf.sum() == pytest.approx(1.0, abs=1e-6)
    arm, propensity = policy.predict(phi, mask, 5)
    assert propensity == pmf[arm]
    assert policy.predict(phi, mask, 5) == (arm, propensity)
    assert policy.predict(phi, np.zeros(9, bool), 5) == (-1, 0.0)


@pytest.mark.parametrize("name", ["logistic_thompson", "logistic_ucb", "linear_thompson", "linear_epsilon_greedy"])
def test_a_learner_finds_the_better_arms(name: str) -> None:
    policy, rng = learner(name), np.random.default_rng(3)
    earned = []
    for key in range(600):
        phi = rng.normal(size=(10, DIMS)).astype(np.float32)
        arm, propensity = policy.predict(phi, np.ones(10, bool), key)
        chance = 1 / (1 + np.exp(2 - phi @ TRUE))
        policy.learn(phi[arm], float(rng.random() < chance[arm]), propensity)
        earned.append((chance[arm] - chance.mean()) / (chance.max() - chance.mean()))
    assert np.mean(earned[300:]) > 0.7


def test_the_linear_posterior_is_ridge_regression() -> None:
    phi, reward = rounds(150)
    model = model_of(taught("linear_thompson", 150))
    rows = np.c_[phi, np.ones(150)].astype(np.float64)
    precision = rows.T @ rows + np.diag([1, 1, 1, 1, 1 / 9])
    assert np.allclose(model.covariance(), np.linalg.inv(precision), atol=1e-10)
    assert np.allclose(model.mean, np.linalg.solve(precision, rows.T @ reward), atol=1e-8)


def test_the_noise_is_what_rows_were_missed_by_before_they_were_learned() -> None:
    phi, reward = rounds(150)
    policy, missed = learner("linear_thompson"), 50.0
    for row, one in zip(phi, reward, strict=True):
        model, full = model_of(policy), np.append(row, 1.0)
        missed += (one - model.mean @ full) ** 2 / (1 + full @ model.covariance() @ full)
        policy.learn(row, one, 1.0)
    assert model_of(policy).dispersion == pytest.approx(missed / 200, rel=1e-9)


def test_the_logistic_mode_solves_its_equation_when_an_epoch_begins() -> None:
    phi, reward = rounds(50)
    model = model_of(taught("logistic_thompson", 50))
    rows = np.c_[phi, np.ones(50)].astype(np.float64)
    left = rows.T @ (reward - 1 / (1 + np.exp(-rows @ model.mode))) - model.prior.precision * model.mode
    assert np.abs(left).max() < 1e-3
    assert np.allclose(model.mean, model.mode, atol=1e-6)


@pytest.mark.parametrize("name", ["logistic_thompson", "linear_thompson"])
def test_shown_and_answered_is_as_good_as_learned(name: str) -> None:
    told, late = learner(name), learner(name)
    phi, reward = rounds(50)
    for row, one in zip(phi, reward, strict=True):
        told.learn(row, one, 0.5)
    numbers = [late.show(row, 0.5, 0.0) for row in phi]
    for number, one in zip(numbers[::-1], reward[::-1], strict=True):
        late.answer(number, 1.0 - one)
        late.answer(number, one)
    late.refresh(0.0)
    assert np.allclose(model_of(late).mean, model_of(told).mean, atol=1e-5)
    assert model_of(late).dispersion == pytest.approx(model_of(told).dispersion, rel=1e-4)


def test_answers_that_have_not_come_yet_do_not_drag_the_mean_down() -> None:
    rng = np.random.default_rng(8)
    arrivals = Arrivals((0.0, 10.0), (0.0, 1.0))
    policy = build.learner("logistic_thompson", Prior(np.zeros(1), np.ones(1)), None, arrivals)
    naive = build.learner("logistic_thompson", Prior(np.zeros(1), np.ones(1)), None, AT_ONCE)
    row = np.ones(1, np.float32)
    for at in np.linspace(-10, 0, 4_000):
        has_come = rng.random() < 0.3 and rng.random() * 10 < -at
        for one in (policy, naive):
            one.answer(one.show(row, 1.0, at), float(has_come))
    policy.refresh(0.0)
    naive.refresh(0.0)
    assert 1 / (1 + np.exp(-model_of(policy).mean[0])) == pytest.approx(0.3, abs=0.03)
    assert 1 / (1 + np.exp(-model_of(naive).mean[0])) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize("name", build.NAMES)
def test_a_state_resumed_goes_on_as_the_first(name: str) -> None:
    first, second = taught(name), learner(name)
    build.resume(second, build.pack(first))
    more, rewards = rounds(120, 9)
    for row, reward in zip(more, rewards, strict=True):
        first.learn(row, reward, 0.5)
        second.learn(row, reward, 0.5)
    phi, mask = more[:7], np.ones(7, bool)
    assert np.array_equal(first.score(phi, mask), second.score(phi, mask))


def test_a_damaged_state_is_refused_and_nothing_changes() -> None:
    good = taught("logistic_thompson")
    phi, mask = rounds(7, 1)[0], np.ones(7, bool)
    before, data = good.score(phi, mask), build.pack(good)
    state = good.model.state()
    with pytest.raises(DamagedStateError):
        build.resume(good, data[: len(data) // 2])
    with pytest.raises(DamagedStateError):
        build.resume(build.generic("logistic_thompson", np.ones((1, 2), np.float32)), data)
    for name, wrong in (("covariance", -np.eye(5)), ("mean", np.full(5, np.nan)), ("phi", state["phi"] * np.nan)):
        with pytest.raises((DamagedStateError, ValueError)):
            good.model.resume({**state, name: wrong})
    assert np.array_equal(good.score(phi, mask), before)


def test_what_is_no_round_is_refused() -> None:
    policy, (phi, _) = learner("logistic_thompson"), rounds(3)
    mask, row = np.ones(3, bool), phi[0]
    for wrong in ((phi[:, :2], mask), (phi, mask[:2]), (phi * np.float32(np.inf), mask)):
        with pytest.raises(NotARoundError):
            policy.score(*wrong)
    for arguments in ((row, 2.0, 0.5), (row, np.nan, 0.5), (row, 1.0, 0.0), (row, 1.0, 1.1), (row[:2], 1.0, 0.5)):
        with pytest.raises(NotARoundError):
            policy.learn(*arguments)
    with pytest.raises(NotARoundError):
        policy.answer(0, 1.0)
    with pytest.raises(ValueError, match="no learner"):
        build.learner("best", Prior(np.zeros(1), np.ones(1)))
    with pytest.raises(DamagedStateError):
        build.learner("linear_ucb", Prior(np.zeros(2), np.array([1.0, 0.0])))


def test_the_unit_of_the_features_does_not_matter() -> None:
    phi, reward = rounds(200)
    scores = []
    for unit in (1.0, 1_000.0):
        scaled = (phi * unit).astype(np.float32)
        policy = build.generic("logistic_thompson", scaled)
        for row, one in zip(scaled, reward, strict=True):
            policy.learn(row, one, 1.0)
        scores.append(policy.score(scaled[:6], np.ones(6, bool)))
    assert np.allclose(*scores, atol=1e-4)
    assert weak_prior(phi).precision[0] * 1e6 == pytest.approx(
        weak_prior(phi * np.float32(1_000)).precision[0], rel=1e-4
    )
