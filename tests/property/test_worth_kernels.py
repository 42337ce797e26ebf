"""Values and deviations against their slow twins: whitening, chances, secants, and what is relative to the best offer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr

from bandits.kernels import packed, scoring, slate, worth
from tests.reference import worth as reference

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

etas = st.floats(-17, 6, width=32)


def some_covariance(rng: np.random.Generator, dims: int) -> F64:
    half = rng.normal(size=(dims, dims))
    return half @ half.T / dims + 0.01 * np.eye(dims)


def wide(rows: F32) -> F32:
    """Padded as the kernels take them: (..., offers) to whole pairs of registers."""
    offers = rows.shape[-1]
    padding = [(0, 0)] * (rows.ndim - 1) + [(0, packed.padded(offers, packed.ARMS) - offers)]
    return np.pad(rows, padding).astype(np.float32)


def sigmoids(eta: F32) -> F32:
    """(heads, offers) or (offers,), by the kernel."""
    out = wide(eta)
    worth.sigmoids(out.ravel(), flat := np.empty(out.size, np.float32))
    return flat.reshape(out.shape)[..., : eta.shape[-1]]


def whitened_by(factor: F32, phi: F32) -> F32:
    """(d, width) of one head."""
    columns = wide(phi.T)
    out = np.full(columns.size, np.nan, np.float32)
    worth.whiten(columns.ravel(), factor, columns.shape[1], 0, out, 0)
    return out.reshape(columns.shape)


def deviations_of(whitened: F32, eta: F32, chance: F32, weight: F64, is_logit: bool, best: int) -> F64:
    out = np.full(whitened.shape[2], np.nan)
    worth.relative_deviations(whitened, wide(eta), wide(chance), weight, is_logit, best, np.empty(8, np.float32), out)
    return out[: eta.shape[1]]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 30), st.integers(0, 999))
def test_a_whitened_row_is_as_long_as_its_deviation(dims: int, offers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    phi, covariance = rng.normal(size=(offers, dims)).astype(np.float32), some_covariance(rng, dims)
    factor = np.linalg.cholesky(covariance).astype(np.float32)
    out = whitened_by(factor, phi)
    variance = np.einsum("ki,ij,kj->k", phi, covariance, phi)
    assert np.square(out[:, :offers]).sum(axis=0) == pytest.approx(variance, rel=1e-4)
    assert not out[:, offers:].any()


@settings(max_examples=100, deadline=None)
@given(st.lists(etas, min_size=1, max_size=20))
def test_chances_are_the_logistic_function(eta: list[float]) -> None:
    row = np.array(eta, np.float32)
    assert sigmoids(row) == pytest.approx(reference.sigmoid(row.astype(np.float64)), rel=1e-4)


@settings(max_examples=200, deadline=None)
@given(etas, etas | st.floats(-0.125, 0.125, width=32), st.booleans())
def test_the_secant_keeps_its_precision_where_the_chances_meet(eta: float, other: float, is_near: bool) -> None:
    """Two offers, one unit apart in the only feature: the deviation is the secant."""
    pair = np.array([[eta, eta + other if is_near else other]], np.float32).clip(-17, 6)
    whitened, chance = wide(np.array([[[0, 1]]], np.float32)), sigmoids(pair)
    found = [deviations_of(whitened, pair, chance, np.ones(1), True, best)[1 - best] for best in (0, 1)]
    a, b = map(float, pair[0])
    twin = reference.secant(a, b) if abs(a - b) > 1e-4 else reference.secant(a, a)
    assert found == pytest.approx([twin, twin], rel=2e-3)
    assert found[0] == pytest.approx(found[1], rel=1e-6)


class Case:
    """A few offers under two heads, as the kernels take them and as the twin does."""

    def __init__(self, offers: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.phi = rng.normal(size=(offers, 5)).astype(np.float32)
        self.covariances = [some_covariance(rng, 5) for _ in range(2)]
        self.eta = rng.normal(-2, 1, (2, offers)).astype(np.float32)
        self.worth = np.array([0.05, 1.0])
        self.factors = np.stack([np.linalg.cholesky(one) for one in self.covariances]).astype(np.float32)
        self.whitened = np.stack([whitened_by(factor, self.phi) for factor in self.factors])

    def chance(self, is_logit: bool) -> F32:
        return sigmoids(self.eta) if is_logit else self.eta

    def twin(self, is_logit: bool, best: int) -> F64:
        phi, eta = self.phi.astype(np.float64), self.eta.astype(np.float64)
        return reference.relative_deviations(phi, self.covariances, eta, self.worth, is_logit, best)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12).filter(any), st.booleans(), st.integers(0, 999))
def test_deviations_are_those_of_the_difference_to_the_best(mask: list[bool], is_logit: bool, seed: int) -> None:
    case, eligible = Case(len(mask), seed), np.array(mask)
    chance = case.chance(is_logit)
    best = worth.best_of(case.worth @ chance, eligible)
    assert best == np.flatnonzero(eligible)[np.argmax((case.worth @ chance)[eligible])]
    out = deviations_of(case.whitened, case.eta, chance, case.worth, is_logit, best)
    assert out == pytest.approx(case.twin(is_logit, best), rel=1e-3, abs=1e-9)
    assert out[best] == 0.0


def test_what_all_offers_have_in_common_is_not_explored() -> None:
    """A bias nobody knows anything of leaves the comparison of two offers as sure as it is without it."""
    phi = np.array([[1, 0.0], [1, 1.0]], np.float32)
    eta, weight = np.array([[-2, -1]], np.float32), np.ones(1)
    chance = sigmoids(eta)
    deviations = []
    for bias_variance in (1e-6, 100.0):
        factor = np.sqrt(np.diag([bias_variance, 0.04])).astype(np.float32)
        deviations.append(deviations_of(whitened_by(factor, phi)[None], eta, chance, weight, True, 1))
    assert deviations[0] == pytest.approx(deviations[1], rel=1e-5)
    assert deviations[0][0] == pytest.approx(0.2 * reference.secant(-2, -1), rel=1e-3)
    assert deviations[0][1] == 0.0


def test_the_plain_deviation_is_that_of_the_value() -> None:
    case = Case(4, 3)
    chance = case.chance(True).astype(np.float64)
    for k in range(4):
        parts = [
            (case.worth[h] * chance[h, k] * (1 - chance[h, k])) ** 2 * (case.phi[k] @ case.covariances[h] @ case.phi[k])
            for h in range(2)
        ]
        found = worth.deviation(case.whitened, wide(case.chance(True)), case.worth, True, k)
        assert found == pytest.approx(np.sqrt(sum(parts)), rel=1e-4)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(0, 8), st.booleans(), st.integers(0, 999))
def test_scores_are_the_twin_s(offers: int, own: int, is_logit: bool, seed: int) -> None:
    case, rng = Case(offers, seed), np.random.default_rng(seed)
    means, prices = rng.normal(size=(2, 5)).astype(np.float32), rng.uniform(0, 1, offers)
    z, own_mean = rng.normal(size=(offers, own)).astype(np.float32), rng.normal(size=own).astype(np.float32)
    own_covariance = some_covariance(rng, own) if own else np.zeros((0, 0))
    width = packed.padded(offers, packed.ARMS)
    eta, chance = np.empty((2, 2, width), np.float32)
    whitened, value, offset = np.empty((2, 5 + own, width), np.float32), np.empty(offers), np.empty(width, np.float32)
    known = (case.phi, means, case.factors, z, own_mean, own_covariance.astype(np.float32))
    model = (*known, 1, case.worth, prices, is_logit)
    assert scoring.score_offers(*model, eta, chance, whitened, value, offset)
    predictor = means.astype(np.float64) @ case.phi.T
    predictor[1] += z @ own_mean
    assert offset[:offers] == pytest.approx(z @ own_mean, rel=1e-4, abs=1e-5)
    assert eta[:, :offers] == pytest.approx(predictor, rel=1e-4, abs=1e-5)
    wanted = reference.sigmoid(predictor) if is_logit else predictor
    assert chance[:, :offers] == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert value == pytest.approx(case.worth @ wanted - prices, rel=1e-3, abs=1e-5)
    variance = np.stack([np.einsum("ki,ij,kj->k", case.phi, one, case.phi) for one in case.covariances])
    variance[1] += np.einsum("ki,ij,kj->k", z, own_covariance, z)
    predictions = np.empty((offers, 2, 2), np.float32)
    assert scoring.predict(eta, whitened, np.arange(offers), predictions)
    assert pytest.approx(eta[:, :offers]) == predictions[:, :, 0].T
    assert pytest.approx(variance, rel=1e-3) == predictions[:, :, 1].T
    case.phi[offers - 1, 0] = np.nan
    assert not scoring.score_offers(*model, eta, chance, whitened, value, offset)


def test_offers_that_differ_in_nothing_share() -> None:
    """Three of four alike, the best among them: a certain tie, while the fourth is drawn as often as it is better."""
    phi = np.array([[1, 0.0], [1, 0.0], [1, 1.0], [1, 0.0]], np.float32)
    case, mask = Case(4, 1), np.ones(4, np.bool_)
    whitened, eta = whitened_by(case.factors[0, :2, :2], phi)[None], np.array([[-1, -1, -1.2, -1]], np.float32)
    chance, pmf = sigmoids(eta), np.empty((1, 4))
    scored = (chance[0].astype(np.float64), whitened, wide(eta), wide(chance), np.ones(1), True, 1.0, 0.0)
    tags, drawn = np.full((4, 1), -1, np.int16), (np.empty(1, np.int64), np.empty(1))
    slate.draw_slate(*scored, mask, tags, 0, 1, 0.0, np.uint64(1), *drawn, pmf)
    s = deviations_of(whitened, eta, chance, np.ones(1), True, 0)
    better = 1.0 - ndtr((chance[0, 0] - chance[0, 2]) / s[2])
    assert pmf[0] == pytest.approx([(1 - better) / 3, (1 - better) / 3, better, (1 - better) / 3], abs=1e-4)
    assert pmf[0, 0] == pmf[0, 1] == pmf[0, 3]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 120), st.sampled_from([0.01, 0.2, 1.0, 5.0]), st.booleans(), st.integers(0, 999))
def test_many_offers_are_drawn_from_the_truth(offers: int, spread: float, is_logit: bool, seed: int) -> None:
    case, mask = Case(offers, seed), np.ones(offers, np.bool_)
    chance, pmf = case.chance(is_logit), np.empty((1, offers))
    value = case.worth @ chance
    scored = (value, case.whitened, wide(case.eta), wide(chance), case.worth, is_logit, spread, 0.0)
    tags, drawn = np.full((offers, 1), -1, np.int16), (np.empty(1, np.int64), np.empty(1))
    slate.draw_slate(*scored, mask, tags, 0, 1, 0.0, np.uint64(seed), *drawn, pmf)
    s = deviations_of(case.whitened, case.eta, chance, case.worth, is_logit, int(value.argmax()))
    assert np.abs(pmf[0] - reference.pmf_of_slot(value, s, spread, 0.0, mask, 0.0)).sum() / 2 < 1e-4


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
    scored = (value, case.whitened, wide(case.eta), wide(chance), case.worth, is_logit, spread, optimism)
    filled = slate.draw_slate(*scored, eligible, padded, most, slots, 0.01, np.uint64(key), chosen, propensity, pmf)
    assert filled == min(slots, eligible.sum())
    assert chosen.tolist() == reference.slate(list(pmf), key)
    left, earlier = eligible.copy(), []
    for slot in range(filled):
        open_to = reference.open_to_slot([tags for tags, _ in shelf], eligible, left, earlier, most)
        best = int(np.flatnonzero(open_to)[np.argmax(value[open_to])])
        s = deviations_of(case.whitened, case.eta, chance, case.worth, is_logit, best)
        wanted = reference.pmf_of_slot(value, s, spread, optimism, open_to, 0.01)
        assert np.abs(pmf[slot] - wanted).sum() / 2 < 1e-4
        assert propensity[slot] == pmf[slot, chosen[slot]] > 0
        left[chosen[slot]] = False
        earlier.append(int(chosen[slot]))
    assert (chosen[filled:] == -1).all()
    assert (propensity[filled:] == 0).all()
