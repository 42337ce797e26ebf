"""Kernels that stream rows, against their twins in plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from bandits import link as links
from bandits.kernels import symmetric
from bandits.kernels.logistic import sigmoid, softplus
from bandits.kernels.rows import linearise_rows, newton_rows
from schema.snapshot import Link
from tests.reference import rows as reference

F64 = NDArray[np.float64]
quick = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)
links_of_heads = st.sampled_from(["identity", "logit"])


def full(packed: F64, d: int) -> F64:
    whole = np.empty((d, d))
    symmetric.unpack(packed, whole)
    return whole


@quick
@given(st.floats(-800, 800))
def test_logistic_is_scipy_s_and_never_overflows(x: float) -> None:
    assert sigmoid(x) == pytest.approx(expit(x), rel=1e-12, abs=1e-300)
    assert softplus(x) == pytest.approx(np.logaddexp(0.0, x), rel=1e-12, abs=1e-300)
    eta = np.array([x])
    assert links.mean("logit", eta)[0] == pytest.approx(expit(x), rel=1e-12, abs=1e-300)
    assert links.slope("logit", eta)[0] == pytest.approx(expit(x) * expit(-x), rel=1e-9, abs=1e-15)
    assert (links.mean("identity", eta), links.slope("identity", eta)) == (x, 1.0)


@quick
@given(seeds, st.integers(0, 40), st.integers(1, 20), links_of_heads)
def test_linearised_sums_of_groups_are_the_twin_s(seed: int, count: int, d: int, link: Link) -> None:
    rng = np.random.default_rng(seed)
    phi, offset = rng.normal(size=(count, d)).astype(np.float32), rng.normal(size=count).astype(np.float32)
    weight, mode = rng.normal(size=count) * (rng.random(count) < 0.8), rng.normal(size=d)
    group = rng.integers(0, 3, count)
    outer, expected = np.zeros((3, d * (d + 1) // 2)), np.zeros((3, d))
    linearise_rows(link == "logit", phi, offset, weight, mode, group, outer, expected)
    for one in range(3):
        of = group == one
        curvature, constant = reference.linearised(link, phi[of], offset[of], weight[of], mode)
        np.testing.assert_allclose(full(outer[one], d), curvature, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(expected[one], constant, rtol=1e-9, atol=1e-9)


def test_a_row_taken_back_leaves_nothing_behind() -> None:
    phi = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    outer, expected = np.zeros((1, 10)), np.zeros((1, 4))
    weight = np.array([0.3, -0.3])
    same = (np.stack([phi[0], phi[0]]), np.full(2, 0.5, np.float32), weight, np.ones(4), np.zeros(2, np.int64))
    linearise_rows(True, *same, outer, expected)
    assert not outer.any()
    assert not expected.any()


@quick
@given(seeds, st.integers(0, 40), st.integers(1, 20), links_of_heads)
def test_a_newton_pass_is_the_twin_s(seed: int, count: int, d: int, link: Link) -> None:
    rng = np.random.default_rng(seed)
    phi, offset = rng.normal(size=(count, d)).astype(np.float32), rng.normal(size=count).astype(np.float32)
    weight, maturity = rng.random(count), rng.random(count)
    reward, w = (rng.random(count) < 0.3).astype(float), rng.normal(size=d)
    gradient, packed = np.zeros(d), np.zeros(d * (d + 1) // 2)
    objective = newton_rows(link == "logit", phi, offset, weight, maturity, reward, w, gradient, packed)
    wanted = reference.newton(link, phi, offset, weight, maturity, reward, w)
    assert objective == pytest.approx(wanted[0], rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(gradient, wanted[1], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(full(packed, d), wanted[2], rtol=1e-9, atol=1e-9)


def test_an_overflow_stays_visible() -> None:
    gradient, packed = np.zeros(1), np.zeros(1)
    one = np.ones(1)
    phi = np.full((1, 1), np.inf, np.float32)
    assert not np.isfinite(newton_rows(True, phi, np.zeros(1, np.float32), one, one, one, one, gradient, packed))
