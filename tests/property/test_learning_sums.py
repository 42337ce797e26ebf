"""Sums at an epoch's mode: in any order, any parts and after taking rows back the same, and those of the twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits import delay, event_time, sums
from bandits.epoch import EARLY_EXPOSURES_MAX, EARLY_ROWS, NOTHING, Epoch, Extent, is_due
from bandits.kernels import symmetric
from bandits.sums import Ledger, Rows, Sums
from schema.snapshot import HEADS, Link
from tests.reference import rows as reference

F64 = NDArray[np.float64]
D = 5
NOW_S = 1_780_000_000.0
quick = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)
links = st.sampled_from(["identity", "logit"])


def rows_of(rng: np.random.Generator, count: int) -> Rows:
    return Rows(
        rng.normal(size=(count, D)).astype(np.float32),
        NOW_S - rng.uniform(0.0, 200 * 86400.0, count),
        rng.normal(size=count).astype(np.float32),
        np.ones(count),
        (rng.random((count, 2)) < 0.3).astype(float),
        rng.uniform(0.0, delay.WINDOWS_S[0], (count, 2)),
    )


def part(rows: Rows, chosen: NDArray[np.int64]) -> Rows:
    return Rows(*(one[chosen] for one in rows))


def negative(rows: Rows) -> Rows:
    return rows._replace(shown=-rows.shown, answered=-rows.answered)


def epoch_of(rng: np.random.Generator, link: Link) -> Epoch:
    return Epoch(3, link, rng.normal(size=(len(HEADS), D)), np.ones(len(HEADS)), (delay.AT_ONCE,) * 2)


def assert_close(one: Sums, other: Sums) -> None:
    for name in Sums.__slots__:
        scale = 1e-9 * max(1.0, float(np.abs(getattr(other, name)).max()))
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=scale, err_msg=name)


@quick
@given(seeds, st.integers(0, 40), links)
def test_sums_are_the_twin_s(seed: int, count: int, link: Link) -> None:
    rng = np.random.default_rng(seed)
    rows, epoch = rows_of(rng, count), epoch_of(rng, link)
    found = sums.count(rows, epoch)
    weight = 2.0 ** ((rows.exposed_at_s - event_time.EPOCH_S) / event_time.HALF_LIFE_S)
    since_s = rows.exposed_at_s - 21_600.0 * np.floor(rows.exposed_at_s / 21_600.0)
    assert found.totals == pytest.approx([weight.sum(), count, weight @ since_s])
    for head, name in enumerate(HEADS):
        offset = rows.offset if name == "redeem" else np.zeros(count)
        curvature, constant = reference.linearised(link, rows.phi, offset, weight, epoch.modes[head])
        outer = np.empty((D, D))
        symmetric.unpack(found.outer[head], outer)
        np.testing.assert_allclose(outer, curvature, rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(found.expected[head], constant, rtol=1e-6, atol=1e-3)
        response = rows.phi.astype(float).T @ (weight * rows.answered[:, head])
        np.testing.assert_allclose(found.response[head], response, rtol=1e-9, atol=1e-6)
        assert found.answers[head] == pytest.approx(weight @ rows.answered[:, head])


@quick
@given(seeds, st.integers(0, 40), links)
def test_any_order_and_any_parts_give_the_same(seed: int, count: int, link: Link) -> None:
    rng = np.random.default_rng(seed)
    rows, epoch = rows_of(rng, count), epoch_of(rng, link)
    order, cut = rng.permutation(count), count // 3
    parted = sums.count(part(rows, order[:cut]), epoch)
    parted.add(sums.unpack(sums.count(part(rows, order[cut:]), epoch).pack(), D))
    assert_close(parted, sums.count(rows, epoch))
    ledger = Ledger(3, D, epoch).add(rows, rng.integers(0, 3, count))
    joined = Sums(D)
    for group in range(3):
        joined.add(ledger.sums(group))
    assert_close(joined, sums.count(rows, epoch))


@quick
@given(seeds, st.integers(1, 40), links)
def test_without_a_person_the_sums_are_those_of_the_others(seed: int, count: int, link: Link) -> None:
    rng = np.random.default_rng(seed)
    rows, epoch = rows_of(rng, count), epoch_of(rng, link)
    is_theirs = rng.random(count) < 0.3
    left = sums.count(rows, epoch)
    left.add(sums.count(negative(part(rows, np.flatnonzero(is_theirs))), epoch))
    wanted = sums.count(part(rows, np.flatnonzero(~is_theirs)), epoch)
    for name in Sums.__slots__:
        scale = 1e-12 * float(np.abs(getattr(sums.count(rows, epoch), name)).max())
        np.testing.assert_allclose(getattr(left, name), getattr(wanted, name), atol=scale, err_msg=name)


@quick
@given(seeds, st.integers(1, 20), links)
def test_answers_may_come_apart_from_their_exposure(seed: int, count: int, link: Link) -> None:
    rng = np.random.default_rng(seed)
    rows, epoch = rows_of(rng, count), epoch_of(rng, link)
    apart = sums.count(rows._replace(answered=np.zeros_like(rows.answered)), epoch)
    apart.add(sums.count(rows._replace(shown=np.zeros(count)), epoch))
    assert_close(apart, sums.count(rows, epoch))


def test_sums_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="not the sums"):
        sums.unpack(Sums(D).pack(), D + 1)


def test_cohorts_of_many_rows_are_those_of_each() -> None:
    at_s = NOW_S - np.linspace(0.0, 150 * 3600.0, 333)
    cohorts = delay.cohorts_at(at_s, NOW_S)
    for one, cohort in zip(at_s, cohorts, strict=True):
        assert cohort == delay.cohort_at(one, NOW_S)
        if cohort != delay.CLOSED:
            begin_s, end_s = delay.span_s(int(cohort))
            assert begin_s <= one < end_s
            assert (end_s - begin_s == delay.YOUNG_S) == (NOW_S - one < delay.OLDER_S or cohort >= 1 << 20)


@pytest.mark.parametrize(
    ("now", "fitted", "due"),
    [
        (NOTHING, NOTHING, False),
        (Extent(10, 0.0, 0.1), NOTHING, True),
        (Extent(10, 0.0, 0.9), Extent(10, 0.0, 0.1), False),
        (Extent(10, 0.0, 1.1), Extent(10, 0.0, 0.1), True),
        (Extent(10, 1e4, 0.1), Extent(10, 0.0, 0.1), True),
        (Extent(500, 9.0, EARLY_ROWS), Extent(500, 9.0, EARLY_ROWS - 1), False),
        (Extent(500, 9.0, 249), Extent(500, 9.0, 199), True),
        (Extent(10_000, 9.0, 8_749), Extent(8_000, 9.0, 7_000), False),
        (Extent(10_000, 9.0, 8_750), Extent(8_000, 9.0, 7_000), True),
        # A million pushes of the last minutes are not read at every snapshot.
        (Extent(EARLY_EXPOSURES_MAX + 1, 50.0, 120), Extent(10, 0.0, 9), False),
        (Extent(EARLY_EXPOSURES_MAX + 1, 50.0, 201), Extent(10, 0.0, 9), True),
    ],
)
def test_when_a_refit_is_due(now: Extent, fitted: Extent, due: bool) -> None:
    assert is_due(now, fitted, 0.0, 0.0) is due
