"""What is logged as a propensity is the frequency with which it happens, under masks, floors and slates."""

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
from bandits.kernels.slate import draw_slate
from tests.reference import kernels as reference

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

ROUNDS = 100_000
word = st.integers(0, 2**64 - 1)


def slate_of(
    mean: F64, sd: F64, mask: Mask, slots: int, floor: float, key: int
) -> tuple[int, NDArray[np.int64], F64, F64]:
    chosen, propensity, pmf = np.full(slots, -7), np.full(slots, np.nan), np.full((slots, len(mean)), np.nan)
    filled = draw_slate(mean, sd, mask, slots, floor, key, chosen, propensity, pmf)
    return filled, chosen, propensity, pmf


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


def test_slate_propensities_are_frequencies_in_each_slot() -> None:
    mean, sd = np.array([0.1, 0.12, 0.3, 0.11, 0.0]), np.array([0.03, 0.05, 0.2, 0.001, 0.0])
    mask = np.array([True, True, False, True, True])
    pairs, expected = np.zeros((5, 5)), np.zeros((5, 5))
    for i in range(ROUNDS):
        filled, chosen, propensity, pmf = slate_of(mean, sd, mask, 2, 0.02, i)
        assert filled == 2
        pairs[chosen[0], chosen[1]] += 1
        expected[chosen[0]] = pmf[0, chosen[0]] * pmf[1]
        assert propensity[0] == pmf[0, chosen[0]]
        assert propensity[1] == pmf[1, chosen[1]]
    assert expected.sum() == pytest.approx(1)
    assert fits(pairs.ravel(), expected.ravel())


def fits(counts: F64, p: F64) -> bool:
    """Chi-square over the arms expected at least five times, the others together."""
    frequent = p * counts.sum() >= 5
    observed = np.append(counts[frequent], counts[~frequent].sum())
    wanted = np.append(p[frequent], p[~frequent].sum()) * counts.sum()
    if wanted[-1] < 5:
        observed, wanted = observed[:-1], wanted[:-1]
    return stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 12), word)
def test_slate_repeats_by_key_and_stops_when_no_arm_is_left(mask: list[bool], slots: int, key: int) -> None:
    left = np.array(mask)
    mean, sd = np.linspace(0, 1, len(left)), np.full(len(left), 0.5)
    filled, chosen, propensity, pmf = slate_of(mean, sd, left, slots, 0.01, np.uint64(key))
    again = slate_of(mean, sd, left, slots, 0.01, np.uint64(key))
    assert filled == again[0] == min(slots, left.sum())
    assert np.array_equal(chosen, again[1])
    assert np.array_equal(propensity, again[2])
    assert np.array_equal(pmf, again[3])
    assert len(set(chosen[:filled])) == filled
    assert left[chosen[:filled]].all()
    assert np.all(chosen[filled:] == -1)
    assert np.all(propensity[filled:] == 0)


def test_slate_slot_is_the_pmf_over_what_is_left() -> None:
    mean, sd, mask = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.1, 0.1]), np.ones(3, bool)
    _, chosen, _, pmf = slate_of(mean, sd, mask, 3, 0.01, 99)
    mask[chosen[0]] = False
    expected = np.empty(3)
    argmax_pmf(mean, sd, mask, 0.01, expected)
    assert np.array_equal(pmf[1], expected)
