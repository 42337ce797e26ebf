"""The argmax pmf against its truth, with everything that made simpler quadratures wrong planted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits.kernels.pmf import argmax_pmf
from tests.reference import pmf as reference

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


def pmf_of(mean: F64 | list[float], sd: F64 | list[float], mask: Mask | None = None, floor: float = 0.0) -> F64:
    out = np.full(len(mean), np.nan)
    mask = np.ones(len(mean), bool) if mask is None else mask
    argmax_pmf(np.asarray(mean, float), np.asarray(sd, float), mask, floor, out)
    return out


@st.composite
def arms(draw: st.DrawFn, arms_max: int = 12) -> tuple[F64, F64, Mask]:
    n = draw(st.integers(1, arms_max))
    sd = draw(
        st.lists(st.sampled_from([0.0, 1e-6, 1e-4, 1e-3, 0.01, 0.03, 0.1, 1.0, 1.0, 1.0]), min_size=n, max_size=n)
    )
    # Scores that differ by less than float32 can tell from zero, next to their spread, count as a tie: 1e-91 beside 1e-6 does.
    means = st.floats(-3, 3).filter(lambda x: x == 0.0 or abs(x) > 1e-30)
    mean = draw(st.lists(means | st.sampled_from([0.0, 0.0, 1.0, 1e-6]), min_size=n, max_size=n))
    mask = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    scale = draw(st.sampled_from([1.0, 1e-12, 1e9]))
    return np.array(mean) * scale, np.array(sd) * scale, np.array(mask)


@settings(max_examples=50, deadline=None)
@given(arms(), st.sampled_from([0.0, 0.005, 0.3, 1.0]))
def test_close_to_the_truth(case: tuple[F64, F64, Mask], floor: float) -> None:
    mean, sd, mask = case
    p = pmf_of(mean, sd, mask, floor)
    assert 0.5 * np.abs(p - reference.argmax_pmf(mean, sd, mask, floor)).sum() < 2e-4
    assert np.all(p[~mask] == 0)
    assert np.all(p[mask] >= floor / max(mask.sum(), 1))


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(finite, finite.map(abs), st.booleans()), min_size=1, max_size=20))
def test_finite_input_never_gives_nan(rows: list[tuple[float, float, bool]]) -> None:
    mean, sd, mask = (np.array(column) for column in zip(*rows, strict=True))
    p = pmf_of(mean, sd, mask)
    assert np.all((p >= 0) & (p <= 1 + 1e-6))
    assert p.sum() == pytest.approx(1.0 if mask.any() else 0.0, abs=1e-5)


@pytest.mark.parametrize("arms_count", [2, 50])
@pytest.mark.parametrize("sharpness", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("height", [0.0, 1.0, 2.0, 3.0])
def test_one_arm_far_more_certain_than_the_rest(arms_count: int, sharpness: float, height: float) -> None:
    rng = np.random.default_rng(7)
    mean, sd = rng.normal(0.1, 0.03, arms_count), rng.uniform(0.01, 0.05, arms_count)
    mean[0], sd[0] = 0.1 + 0.03 * height, 0.03 * sharpness
    mask = np.ones(arms_count, bool)
    truth = reference.argmax_pmf(mean, sd, mask, 0.0)
    assert 0.5 * np.abs(pmf_of(mean, sd) - truth).sum() < 1e-4


def test_scales_nested_over_eight_decades() -> None:
    sd = 10.0 ** -np.arange(9)
    mean = np.random.default_rng(3).standard_normal(9) * sd
    truth = reference.argmax_pmf(mean, sd, np.ones(9, bool), 0.0)
    assert 0.5 * np.abs(pmf_of(mean, sd) - truth).sum() < 1e-4


@pytest.mark.parametrize("arms_count", [1, 2, 50, 5000])
def test_equal_arms_share_equally(arms_count: int) -> None:
    p = pmf_of(np.full(arms_count, 0.2), np.full(arms_count, 0.03))
    assert p == pytest.approx(1 / arms_count, rel=1e-5)


def test_five_thousand_arms_add_up_and_are_ordered_as_their_means() -> None:
    mean = np.linspace(0, 1, 5000)
    p = pmf_of(mean, np.full(5000, 0.3))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert np.all(np.diff(p) >= -1e-9)


def test_certain_arms_with_one_mean_share() -> None:
    assert pmf_of([1.0, 2.0, 2.0, 0.0], np.zeros(4)).tolist() == [0, 0.5, 0.5, 0]


def test_all_but_one_masked_and_all_masked() -> None:
    mean, sd = np.array([5.0, 1.0, 9.0]), np.array([1.0, 0.1, 0.0])
    assert pmf_of(mean, sd, np.array([False, True, False]), 0.01).tolist() == [0, 1, 0]
    assert pmf_of(mean, sd, np.zeros(3, bool), 0.01).tolist() == [0, 0, 0]


def test_float32_scores_are_refused_rather_than_compiled_again() -> None:
    with pytest.raises(TypeError):
        argmax_pmf(np.zeros(2, np.float32), np.ones(2, np.float32), np.ones(2, bool), 0.0, np.empty(2))
