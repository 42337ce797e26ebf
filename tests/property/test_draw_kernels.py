"""Uniform numbers, and draws from a pmf that come as often as it says."""

import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bandits.kernels.draw import draw
from bandits.kernels.pmf import argmax_pmf
from bandits.kernels.random import key_from_bytes, uniform
from tests.reference import kernels as reference
from tests.reference.frequencies import fits

F64 = NDArray[np.float64]

ROUNDS = 100_000
word = st.integers(0, 2**64 - 1)


@settings(max_examples=50, deadline=None)
@given(word, word)
def test_uniform_is_the_twin_s_and_strictly_inside(key: int, index: int) -> None:
    u = uniform(np.uint64(key), np.uint64(index))
    assert u == reference.uniform(key, index)
    assert 0 < u < 1


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=16, max_size=16))
def test_key_is_the_twin_s(identifier: bytes) -> None:
    assert key_from_bytes(identifier) == reference.key_from_bytes(identifier)


def test_key_needs_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        key_from_bytes(b"short")


def test_uniforms_are_uniform_along_the_index_and_along_the_keys() -> None:
    along_index = [uniform(1, i) for i in range(20_000)]
    first = uuid.UUID("01890000-0000-7000-8000-000000000000").int
    along_keys = [uniform(key_from_bytes((first + i).to_bytes(16, "big")), 0) for i in range(20_000)]
    assert stats.kstest(along_index, "uniform").pvalue > 1e-3
    assert stats.kstest(along_keys, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(along_index[:-1], along_index[1:])[0, 1]) < 0.03


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=20), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_draw_is_the_twin_s_and_never_impossible(weights: list[int], u: float) -> None:
    p = np.array(weights, float) / max(sum(weights), 1)
    arm = draw(p, u)
    assert arm == reference.draw(p, u)
    assert arm == -1 if not any(weights) else p[arm] > 0


def test_draw_takes_the_last_possible_arm_when_rounding_left_a_gap() -> None:
    assert draw(np.array([0.5, 0.4, 0.0]), 0.95) == 1


@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_propensities_are_frequencies(floor: float) -> None:
    rng = np.random.default_rng(5)
    mean, sd, mask = rng.normal(0.1, 0.03, 20), rng.uniform(0.01, 0.05, 20), rng.random(20) < 0.6
    sd[3], mask[3] = 1e-5, True
    p = np.empty(20)
    argmax_pmf(mean, sd, mask, floor, p)
    counts = np.zeros(20)
    for i in range(ROUNDS):
        counts[draw(p, uniform(11, i))] += 1
    assert np.all(counts[p == 0] == 0)
    assert fits(counts, p)
