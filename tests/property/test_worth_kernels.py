"""Values and deviations against their slow twins: whitening, chances, secants, and what is relative to the best offer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits.kernels import scoring, slate, worth
from tests.reference import worth as reference

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

etas = st.floats(-17, 6, width=32)


def some_covariance(rng: np.random.Generator, dims: int) -> F64:
    half = rng.normal(size=(dims, dims))
    return half @ half.T / dims + 0.01 * np.eye(dims)


def sigmoids(eta: F32) -> F32:
    return np.array([worth.fast_sigmoid(one) for one in eta.ravel()], np.float32).reshape(eta.shape)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 999))
def test_a_whitened_row_is_as_long_as_its_deviation(dims: int, offers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    phi, covariance = rng.normal(size=(offers, dims)).astype(np.float32), some_covariance(rng, dims)
    factor = np.linalg.cholesky(covariance).astype(np.float32)
    out = np.full((offers, dims + 3), 7, np.float32)
    worth.whiten(phi, factor, 2, out)
    assert (out[:, :2] == 7).all()
    assert (out[:, dims + 2 :] == 7).all()
    variance = np.einsum("ki,ij,kj->k", phi, covariance, phi)
    assert np.square(out[:, 2 : dims + 2]).sum(axis=1) == pytest.approx(variance, rel=1e-4)


@settings(max_examples=100, deadline=None)
@given(st.lists(etas, min_size=1, max_size=20))
def test_chances_are_the_logistic_function(eta: list[float]) -> None:
    row = np.array(eta, np.float32)
    assert sigmoids(row) == pytest.approx(reference.sigmoid(row.astype(np.float64)), rel=1e-4)


@settings(max_examples=200, deadline=None)
@given(etas, etas | st.floats(-0.125, 0.125, width=32), st.booleans())
def test_the_secant_keeps_its_precision_where_the_chances_meet(eta: float, other: float, is_near: bool) -> None:
    pair = np.array([[eta, eta + other if is_near else other]], np.float32).clip(-17, 6)
    chance = sigmoids(pair)
    found = worth.secant(pair[0, 0], chance[0, 0], pair[0, 1], chance[0, 1])
    a, b = map(float, pair[0])
    twin = reference.secant(a, b) if abs(a - b) > 1e-4 else reference.secant(a, a)
    assert found == pytest.approx(twin, rel=2e-3)
    assert found == pytest.approx(worth.secant(pair[0, 1], chance[0, 1], pair[0, 0], chance[0, 0]), rel=1e-6)


class Case:
    """A few offers under two heads, as the kernels take them and as the twin does."""

    def __init__(self, offers: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.phi = rng.normal(size=(offers, 5)).astype(np.float32)
        self.covariances = [some_covariance(rng, 5) for _ in range(2)]
        self.eta = rng.normal(-2, 1, (2, offers)).astype(np.float32)
        self.worth = np.array([0.05, 1.0])
        self.whitened = np.zeros((2, offers, 5), np.float32)
        for row, covariance in zip(self.whitened, self.covariances, strict=True):
            worth.whiten(self.phi, np.linalg.cholesky(covariance).astype(np.float32), 0, row)

    def chance(self, is_logit: bool) -> F32:
        return sigmoids(self.eta) if is_logit else self.eta

    def twin(self, is_logit: bool, mask: NDArray[np.bool_], best: int) -> F64:
        phi, eta = self.phi.astype(np.float64), self.eta.astype(np.float64)
        return reference.relative_deviations(phi, self.covariances, eta, self.worth, is_logit, mask, best)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any), st.booleans(), st.integers(0, 999))
def test_deviations_are_those_of_the_difference_to_the_best(mask: list[bool], is_logit: bool, seed: int) -> None:
    case, eligible = Case(len(mask), seed), np.array(mask)
    chance = case.chance(is_logit)
    best = worth.best_of(case.worth @ chance, eligible)
    assert best == np.flatnonzero(eligible)[np.argmax((case.worth @ chance)[eligible])]
    out = np.zeros(len(mask))
    worth.relative_deviations(case.whitened, case.eta, chance, case.worth, is_logit, eligible, best, out)
    assert out == pytest.approx(case.twin(is_logit, eligible, best), rel=1e-3, abs=1e-9)


def test_what_all_offers_have_in_common_is_not_explored() -> None:
    """A bias nobody knows anything of leaves the comparison of two offers as sure as it is without it."""
    phi = np.array([[1, 0.0], [1, 1.0]], np.float32)
    eta, weight = np.array([[-2, -1]], np.float32), np.ones(1)
    chance = sigmoids(eta)
    deviations = []
    for bias_variance in (1e-6, 100.0):
        factor = np.sqrt(np.diag([bias_variance, 0.04])).astype(np.float32)
        whitened, out = np.zeros((1, 2, 2), np.float32), np.zeros(2)
        worth.whiten(phi, factor, 0, whitened[0])
        worth.relative_deviations(whitened, eta, chance, weight, True, np.ones(2, np.bool_), 1, out)
        deviations.append(out)
    assert deviations[0] == pytest.approx(deviations[1], rel=1e-5)
    assert deviations[0][0] == pytest.approx(0.2 * reference.secant(-2, -1), rel=1e-3)
    assert deviations[0][1] == pytest.approx(1e-3 * deviations[0][0])


def test_the_plain_deviation_is_that_of_the_value() -> None:
    case = Case(4, 3)
    chance = case.chance(True).astype(np.float64)
    for k in range(4):
        parts = [
            (case.worth[h] * chance[h, k] * (1 - chance[h, k])) ** 2 * (case.phi[k] @ case.covariances[h] @ case.phi[k])
            for h in range(2)
        ]
        found = worth.deviation(case.whitened, case.chance(True), case.worth, True, k)
        assert found == pytest.approx(np.sqrt(sum(parts)), rel=1e-4)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(0, 8), st.booleans(), st.integers(0, 999))
def test_scores_are_the_twin_s(offers: int, own: int, is_logit: bool, seed: int) -> None:
    case, rng = Case(offers, seed), np.random.default_rng(seed)
    means, prices = rng.normal(size=(2, 5)).astype(np.float32), rng.uniform(0, 1, offers)
    z, own_mean = rng.normal(size=(offers, own)).astype(np.float32), rng.normal(size=own).astype(np.float32)
    own_covariance = some_covariance(rng, own) if own else np.zeros((0, 0))
    factors = np.stack([np.linalg.cholesky(one) for one in case.covariances]).astype(np.float32)
    own_factor = np.linalg.cholesky(own_covariance).astype(np.float32) if own else np.zeros((0, 0), np.float32)
    eta, chance = np.empty((2, offers), np.float32), np.empty((2, offers), np.float32)
    whitened, value, offset = np.empty((2, offers, 5 + own), np.float32), np.empty(offers), np.empty(offers, np.float32)
    model = (case.phi, means, factors, z, own_mean, own_factor, 1, case.worth, prices, is_logit)
    assert scoring.score_offers(*model, eta, chance, whitened, value, offset)
    predictor = means.astype(np.float64) @ case.phi.T
    predictor[1] += z @ own_mean
    assert offset == pytest.approx(z @ own_mean, rel=1e-4, abs=1e-5)
    assert eta == pytest.approx(predictor, rel=1e-4, abs=1e-5)
    wanted = reference.sigmoid(predictor) if is_logit else predictor
    assert chance == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert value == pytest.approx(case.worth @ wanted - prices, rel=1e-3, abs=1e-5)
    variance = np.stack([np.einsum("ki,ij,kj->k", case.phi, one, case.phi) for one in case.covariances])
    variance[1] += np.einsum("ki,ij,kj->k", z, own_covariance, z)
    predictions = np.empty((offers, 2, 2), np.float32)
    scoring.predict(eta, whitened, np.arange(offers), predictions)
    assert pytest.approx(eta) == predictions[:, :, 0].T
    assert pytest.approx(variance, rel=1e-3) == predictions[:, :, 1].T
    case.phi[offers - 1, 0] = np.nan
    assert not scoring.score_offers(*model, eta, chance, whitened, value, offset)


tag_sets = st.frozensets(st.integers(0, 5), max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(tag_sets, st.booleans()), min_size=1, max_size=9),
    st.integers(0, 3),
    st.integers(1, 10),
    st.booleans(),
    st.sampled_from([(0.2, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]),
    st.integers(0, 2**64 - 1),
)
def test_a_slate_is_the_twin_s(
    shelf: list[tuple[frozenset[int], bool]],
    most: int,
    slots: int,
    is_logit: bool,
    exploring: tuple[float, float],
    key: int,
) -> None:
    case, eligible = Case(len(shelf), key % 997), np.array([is_eligible for _, is_eligible in shelf])
    padded = np.full((len(shelf), 3), -1, np.int16)
    for row, (tags, _) in zip(padded, shelf, strict=True):
        row[: len(tags)] = list(tags)
    chance, (spread, optimism) = case.chance(is_logit), exploring
    value = case.worth @ chance
    chosen, propensity, pmf = np.empty(slots, np.int64), np.empty(slots), np.empty((slots, len(shelf)))
    scored = (value, case.whitened, case.eta, chance, case.worth, is_logit, spread, optimism)
    filled = slate.draw_slate(*scored, eligible, padded, most, slots, 0.01, np.uint64(key), chosen, propensity, pmf)
    assert filled == min(slots, eligible.sum())
    assert chosen.tolist() == reference.slate(list(pmf), key)
    left, earlier = eligible.copy(), []
    for slot in range(filled):
        open_to = reference.open_to_slot([tags for tags, _ in shelf], eligible, left, earlier, most)
        best = int(np.flatnonzero(open_to)[np.argmax(value[open_to])])
        s = case.twin(is_logit, open_to, best)
        wanted = reference.pmf_of_slot(value, s, spread, optimism, open_to, 0.01)
        assert np.abs(pmf[slot] - wanted).sum() / 2 < 2e-3
        assert propensity[slot] == pmf[slot, chosen[slot]] > 0
        left[chosen[slot]] = False
        earlier.append(int(chosen[slot]))
    assert (chosen[filled:] == -1).all()
    assert (propensity[filled:] == 0).all()
