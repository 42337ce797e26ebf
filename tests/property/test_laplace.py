"""Newton over rows: it finds the mode from anywhere, in blocks as at once, and never gives a worse point than it was given."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from bandits import dispersion, laplace
from bandits.laplace import Blocks, Design, NotAPosteriorError
from bandits.prior import Prior
from schema.snapshot import Link
from tests.reference import rows as reference

F64 = NDArray[np.float64]
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
D = 4


def design(rng: np.random.Generator, count: int, scale: float = 1.0) -> Design:
    phi = (scale * rng.normal(size=(count, D))).astype(np.float32)
    maturity = rng.choice([1.0, 0.4], count)
    reward = ((rng.random(count) < 0.2) & (rng.random(count) < maturity)).astype(float)
    return Design(phi, rng.normal(size=count).astype(np.float32), rng.random(count) + 0.1, maturity, reward)


def blocks_of(rows: Design, size: int) -> Blocks:
    def blocks() -> Iterator[Design]:
        for at in range(0, len(rows.phi), size):
            yield Design(*(part[at : at + size] for part in rows))

    return blocks


def objective(rows: Design, prior: Prior, link: Link, w: F64) -> float:
    value: float = reference.newton(link, *rows, w)[0]
    return value + float(0.5 * (w - prior.mean) @ (prior.precision * (w - prior.mean)))


@quick
@given(seeds, st.integers(0, 200), st.sampled_from(["identity", "logit"]), st.sampled_from([0.0, 3.0, 30.0]))
def test_the_mode_is_found_from_anywhere_and_in_blocks(seed: int, count: int, link: Link, away: float) -> None:
    rng = np.random.default_rng(seed)
    rows = design(rng, count)
    prior = Prior(rng.normal(size=D), rng.uniform(0.5, 5.0, D))
    start = prior.mean + away * rng.normal(size=D)
    found = laplace.fit(blocks_of(rows, 17), prior, link, start)
    at_once = laplace.fit(blocks_of(rows, 1_000), prior, link, prior.mean)
    best = minimize(lambda w: objective(rows, prior, link, w), prior.mean, method="BFGS", options={"gtol": 1e-8})
    assert found.mode.objective == pytest.approx(best.fun, abs=1e-5)
    assert found.mode.objective <= objective(rows, prior, link, start) + 1e-9
    np.testing.assert_allclose(found.mode.w, best.x, atol=2e-3)
    np.testing.assert_allclose(found.mode.w, at_once.mode.w, atol=2e-3)
    # From thirty deviations away, where log-odds are flat, a seed has needed 14.
    assert found.steps <= (12 if away < 30.0 else 20)


@quick
@given(seeds)
def test_the_gradient_and_hessian_are_those_of_the_objective(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, w = design(rng, 50), rng.normal(size=D)
    prior = Prior(rng.normal(size=D), rng.uniform(0.5, 5.0, D))
    point = laplace.evaluate(blocks_of(rows, 50), prior, "logit", w)
    for j, step in enumerate(1e-5 * np.eye(D)):
        ahead, behind = (laplace.evaluate(blocks_of(rows, 50), prior, "logit", w + s) for s in (step, -step))
        assert point.gradient[j] == pytest.approx((ahead.objective - behind.objective) / 2e-5, rel=1e-5, abs=1e-5)
        slope = (ahead.gradient - behind.gradient) / 2e-5
        np.testing.assert_allclose(point.hessian[j], slope, rtol=1e-5, atol=1e-5)


def test_a_full_step_that_would_diverge_is_halved() -> None:
    """From far out a logistic curve is flat and Newton's step enormous: undamped it never comes back."""
    phi = np.ones((100, D), np.float32)
    rows = Design(phi, np.zeros(100, np.float32), np.ones(100), np.ones(100), np.r_[np.ones(5), np.zeros(95)])
    prior = Prior(np.zeros(D), np.full(D, 1e-6))
    found = laplace.fit(blocks_of(rows, 100), prior, "logit", np.full(D, 4.0))
    assert float(phi[0] @ found.mode.w) == pytest.approx(np.log(5 / 95), abs=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    rows = design(np.random.default_rng(0), 10)
    rows.phi[3, 1] = value
    prior = Prior(np.zeros(D), np.ones(D))
    with pytest.raises(NotAPosteriorError):
        laplace.fit(blocks_of(rows, 10), prior, "logit", prior.mean)


def test_more_taken_back_than_was_counted_is_refused() -> None:
    rows = design(np.random.default_rng(0), 10)._replace(weight=np.full(10, -9.0))
    prior = Prior(np.zeros(D), np.ones(D))
    with pytest.raises(NotAPosteriorError):
        laplace.fit(blocks_of(rows, 10), prior, "identity", np.ones(D))


def test_dispersion_is_the_scatter_of_closed_rows_and_bounded() -> None:
    rng = np.random.default_rng(5)
    count, w = 20_000, np.array([-2.0, 0.5, 0.0, 0.0])
    phi = rng.normal(size=(count, D)).astype(np.float32)
    phi[:, 0] = 1.0
    p = 1.0 / (1.0 + np.exp(-(phi @ w)))
    zero, one = np.zeros(count, np.float32), np.ones(count)
    told = Design(phi, zero, one, one, (rng.random(count) < p).astype(float))
    prior = Prior(np.zeros(D), np.ones(D))
    assert dispersion.estimate(blocks_of(told, 999), prior, "logit", w) == pytest.approx(1.0, abs=0.1)
    unlikely = told.phi.copy()
    unlikely[0] = (1.0, -20.0, 0.0, 0.0)  # p is about 6e-6
    surprised = told._replace(phi=unlikely, reward=np.r_[1.0, told.reward[1:]])
    assert dispersion.estimate(blocks_of(surprised, 999), prior, "logit", w) == pytest.approx(1.0, abs=0.1)
    young = told._replace(maturity=np.full(count, 0.5), reward=np.ones(count))
    assert dispersion.estimate(blocks_of(young, 999), prior, "logit", w) == 1.0
    assert dispersion.estimate(blocks_of(told._replace(reward=one), 999), prior, "logit", w) == dispersion.HIGHEST
    flat = Prior(np.zeros(D), np.ones(D), 0.1)
    silent = told._replace(phi=0 * phi, reward=np.zeros(count))
    assert dispersion.estimate(blocks_of(silent, 999), flat, "identity", w) == pytest.approx(0.001)
    noisy = told._replace(reward=phi @ w + 0.5 * rng.normal(size=count))
    assert dispersion.estimate(blocks_of(noisy, 999), flat, "identity", w) == pytest.approx(0.25, rel=0.03)
