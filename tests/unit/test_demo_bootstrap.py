"""Ratios and their intervals, against a slow twin and at the edges."""

import numpy as np
import pytest

from service.demo import bootstrap


def flags(households: int, weeks: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((households, weeks)) < share


def test_the_value_is_the_ratio_of_totals_and_lies_in_its_interval() -> None:
    ours, theirs = flags(200, 10, 0.12, 1), flags(200, 10, 0.08, 2)
    found = bootstrap.ratio(ours, theirs, 3)
    assert found.value == ours.sum() / theirs.sum()
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low < found.value < found.high
    assert bootstrap.ratio(ours, theirs, 3) == found


def test_the_interval_is_that_of_a_twin_that_counts_household_by_household() -> None:
    ours, theirs = flags(40, 6, 0.3, 1), flags(40, 6, 0.2, 2)
    draw = np.random.default_rng(11)
    ratios = []
    for _ in range(4000):
        chosen = [int(one) for one in draw.integers(0, 40, 40)]
        ratios.append(sum(int(ours[h].sum()) for h in chosen) / sum(int(theirs[h].sum()) for h in chosen))
    found = bootstrap.ratio(ours, theirs, 3)
    assert found.low == pytest.approx(np.quantile(ratios, 0.025), rel=0.04)
    assert found.high == pytest.approx(np.quantile(ratios, 0.975), rel=0.04)


def test_households_are_drawn_with_both_policies_together() -> None:
    ours = flags(100, 8, 0.3, 4)
    assert bootstrap.ratio(ours, ours, 0) == (1.0, 1.0, 1.0)


def test_a_divisor_of_nothing_has_no_ratio() -> None:
    ours = flags(20, 4, 0.5, 1)
    assert bootstrap.ratio(ours, np.zeros_like(ours), 0) == (None, None, None)
    rare = np.zeros_like(ours)
    rare[0, 0] = True  # in more than a third of the resamples it is not drawn
    found = bootstrap.ratio(ours, rare, 0)
    assert found.value == ours.sum()
    assert found.high is None
