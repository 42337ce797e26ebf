"""The remaining kernels against their slow twins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr

from bandits.kernels.gate import gate_pmf, send_probability
from bandits.kernels.normal import cdf, fast_pdf_cdf, pdf
from bandits.kernels.symmetric import add_outer, pack, unpack
from bandits.kernels.warm import warm
from tests.reference import kernels as reference

F64 = NDArray[np.float64]

quick = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@quick
@given(st.floats(-37, 37))  # beyond it a double has fewer digits
def test_normal_is_scipy_s(x: float) -> None:
    assert cdf(x) == pytest.approx(ndtr(x), rel=1e-12, abs=0)
    assert pdf(x) == pytest.approx(math.exp(-x * x / 2) / math.sqrt(2 * math.pi), rel=1e-12, abs=0)


@quick
@given(st.floats(-6, 6, width=32))
def test_fast_normal_is_close(x: float) -> None:
    density, below = fast_pdf_cdf(np.float32(x))
    assert density == pytest.approx(pdf(x), rel=1e-4)
    assert below == pytest.approx(ndtr(x), abs=1e-5)


amounts = st.floats(-5, 5) | st.sampled_from([0.0, 1.0])


@quick
@given(amounts, st.sampled_from([0.0, 1e-9, 0.1, 1.0, 1e6]), amounts, st.sampled_from([0.0, 0.01, 0.5]), st.booleans())
def test_gate_is_the_twin_s(value: float, sd: F64, price: float, margin: float, is_value_nonnegative: bool) -> None:
    p = send_probability(value, sd, price, margin, is_value_nonnegative)
    assert p == pytest.approx(reference.send_probability(value, sd, price, margin, is_value_nonnegative), abs=1e-12)


def test_gate_is_exactly_open_when_attention_is_free_and_nothing_can_harm() -> None:
    assert send_probability(0.0, 1.0, 0.0, 0.01, True) == 0.99
    assert send_probability(0.0, 1.0, 0.0, 0.01, False) == 0.5


@quick
@given(seeds, st.integers(0, 20))
def test_gated_pmf_and_no_send_make_one(seed: int, arms: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random(arms) * (rng.random(arms) < 0.7)
    p = weights / weights.sum() if weights.any() else weights
    value, sd, out = rng.normal(size=arms), rng.random(arms), np.full(arms, np.nan)
    no_send = gate_pmf(p, value, sd, 0.2, 0.01, False, out)
    twin = [p[a] * reference.send_probability(value[a], sd[a], 0.2, 0.01, False) for a in range(arms)]
    assert out == pytest.approx(twin, abs=1e-12)
    assert no_send + out.sum() == pytest.approx(1)


@quick
@given(seeds, st.integers(1, 40), st.sampled_from([0.0, 1.0, -0.5, 1e-9]))
def test_packed_outer_product_is_the_twin_s(seed: int, d: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    full, x = rng.standard_normal((d, d)), rng.standard_normal(d).astype(np.float32)
    full = full + full.T
    packed, back = np.empty(d * (d + 1) // 2), np.full((d, d), np.nan)
    pack(full, packed)
    assert np.array_equal(packed, reference.pack(full))
    add_outer(packed, x, weight)
    unpack(packed, back)
    assert np.allclose(back, full + weight * np.outer(x.astype(float), x.astype(float)), rtol=1e-12, atol=1e-12)
    assert np.array_equal(back, back.T)


def test_warm_runs_every_kernel() -> None:
    warm()
