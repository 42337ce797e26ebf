"""One decision in one call, and a crowd of them, against slow and obvious twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits.kernels.decide import decide, scores, thompson_pmf
from bandits.kernels.packed import held, pack_posterior, packed_size, unpack_covariance
from bandits.kernels.rank_one import absorb, learn_row
from bandits.learners import crowd
from bandits.learners.learner import NotARoundError
from tests.reference import decide as reference

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def posterior_of(rng: np.random.Generator, dims: int) -> tuple[F64, F64, F32]:
    root = rng.normal(size=(dims, dims)) / dims
    mean, covariance = rng.normal(0, 0.1, dims), root @ root.T + 0.01 * np.eye(dims)
    return mean, covariance, packed_of(mean, covariance)


def packed_of(mean: F64, covariance: F64) -> F32:
    return tiled(mean, covariance)[1]


def tiled(mean: F64, covariance: F64) -> tuple[F64, F32]:
    size = packed_size(len(mean))
    tiles, packed = np.full(size, np.nan), np.full(size, np.nan, np.float32)
    pack_posterior(mean, covariance, tiles, packed)
    return tiles, packed


def pmf_of_gaps(gap: F64, sd: F64) -> F64:
    """The best arm first, at 0, and the others: one feature each tells mean and deviation apart."""
    arms = len(gap) + 1
    phi = np.eye(arms, dtype=np.float32)
    mean = np.append(0.0, -gap)
    packed, pmf = packed_of(mean, np.diag(np.append(0.0, sd) ** 2)), np.full(arms, np.nan)
    assert thompson_pmf(phi, np.ones(arms, bool), packed, 1.0, 0.0, pmf) == 0
    return pmf


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 41), st.integers(0, 2**32))
def test_scores_are_the_twin_s(arms: int, dims: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, covariance, packed = posterior_of(rng, dims)
    phi = rng.normal(size=(arms, dims)).astype(np.float32)
    found = np.full(arms, np.nan, np.float32), np.full(arms, np.nan, np.float32)
    scores(phi, packed, *found)
    assert np.allclose(found[0], phi @ mean, atol=1e-5)
    assert np.allclose(found[1], np.sqrt(np.einsum("ki,ij,kj->k", phi, covariance, phi)), rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 41), st.sampled_from([0.0, 0.005, 0.3]), st.integers(0, 2**32))
def test_a_decision_is_the_twin_s(arms: int, dims: int, floor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, covariance, packed = posterior_of(rng, dims)
    phi, mask = rng.random((arms, dims), np.float32), rng.random(arms) < 0.7
    pmf = np.full(arms, np.nan)
    arm = decide(phi, mask, packed, 0.5, floor, seed, pmf)
    assert np.all(pmf[~mask] == 0.0)
    if mask.any():
        truth = reference.thompson_pmf(phi.astype(np.float64), mean, covariance, mask, 0.5, floor)
        assert 0.5 * np.abs(pmf - truth).sum() < 2e-4  # scores are float32
        assert pmf.sum() == pytest.approx(1.0, abs=1e-6)
        assert pmf[arm] > 0.0
    else:
        assert arm == -1


@pytest.mark.parametrize("arms", [1, 3, 50, 300])
@pytest.mark.parametrize("sharpest", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("gap", [0.0, 0.5, 3.0])
def test_the_quadrature_is_right_however_unlike_the_arms_are(arms: int, sharpest: float, gap: float) -> None:
    rng = np.random.default_rng(arms)
    sd = rng.uniform(0.05, 0.15, arms)
    sd[0] *= sharpest
    gaps = gap * sd * rng.random(arms)
    best, others = reference.relative_pmf(gaps, sd)
    assert 0.5 * np.abs(pmf_of_gaps(gaps, sd) - np.append(best, others)).sum() < 1e-4


def test_scales_over_five_decades() -> None:
    rng = np.random.default_rng(2)
    sd = 10.0 ** rng.uniform(-4, 1, 50)
    gaps = np.abs(rng.normal(size=50)) * sd
    best, others = reference.relative_pmf(gaps, sd)
    assert 0.5 * np.abs(pmf_of_gaps(gaps, sd) - np.append(best, others)).sum() < 1e-4


def test_arms_that_are_the_same_share_and_none_is_lost() -> None:
    phi, pmf = np.ones((4, 3), np.float32), np.empty(4)
    assert thompson_pmf(phi, np.ones(4, bool), packed_of(np.ones(3), np.eye(3)), 1.0, 0.0, pmf) == 0
    assert np.isfinite(pmf).all()
    assert pmf.sum() == pytest.approx(1.0)


def test_draws_are_as_frequent_as_their_propensities() -> None:
    rng = np.random.default_rng(4)
    _, _, packed = posterior_of(rng, 8)
    phi, mask, pmf = rng.random((12, 8), np.float32), np.arange(12) % 3 != 0, np.empty(12)
    counts = np.zeros(12)
    for key in range(20_000):
        counts[decide(phi, mask, packed, 1.0, 0.02, key, pmf)] += 1
    expected = 20_000 * pmf[mask]
    assert (np.square(counts[mask] - expected) / expected).sum() < 25.0  # chi-square, 7 degrees: 0.1 %
    assert counts[~mask].sum() == 0


@pytest.mark.parametrize("dims", [1, 3, 8, 19, 32, 33])
def test_a_row_absorbed_is_the_exact_posterior_and_in_the_next_decision(dims: int) -> None:
    rng = np.random.default_rng(6)
    mean, covariance, _ = posterior_of(rng, dims)
    tiles, packed = tiled(mean, covariance)
    precision, total = np.linalg.inv(covariance), np.linalg.inv(covariance) @ mean
    for _ in range(50):
        row, weight, response = rng.normal(size=dims).astype(np.float32), rng.random(), rng.normal()
        absorb(tiles, packed, row, weight, response)
        precision += weight * np.outer(row, row).astype(np.float64)
        total += response * row
    found = np.empty((dims, dims))
    unpack_covariance(tiles, found)
    assert np.allclose(found, np.linalg.inv(precision), atol=1e-9)
    assert np.allclose(tiles[:dims], np.linalg.solve(precision, total), atol=1e-8)
    for kept, made in zip((tiles, packed), tiled(tiles[:dims].copy(), found), strict=True):
        assert np.allclose(kept, made, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("is_logit", [True, False])
def test_a_row_learned_is_linearised_at_the_mode(is_logit: bool) -> None:
    rng = np.random.default_rng(7)
    mean, covariance, _ = posterior_of(rng, 11)
    mode, row = rng.normal(size=11), rng.normal(size=11).astype(np.float32)
    learned, absorbed = tiled(mean, covariance), tiled(mean, covariance)
    eta = learn_row(is_logit, mode, row, 1.0, *learned)
    assert eta == pytest.approx(row @ mode)
    expected = 1.0 / (1.0 + np.exp(-eta)) if is_logit else eta
    slope = expected * (1.0 - expected) if is_logit else 1.0
    absorb(*absorbed, row, slope, 1.0 - expected + slope * eta)
    for one, other in zip(learned, absorbed, strict=True):
        assert np.allclose(one, other, rtol=1e-12)


def test_the_size_tells_how_many_weights_there_are_and_those_beyond_the_features_are_not_scored() -> None:
    assert [held(packed_size(dims)) for dims in (1, 8, 9, 40, 513)] == [8, 8, 16, 40, 520]
    rng = np.random.default_rng(8)
    mean, covariance, packed = posterior_of(rng, 17)
    phi = rng.normal(size=(5, 16)).astype(np.float32)
    found, twin = np.empty((2, 5), np.float32), np.empty((2, 5), np.float32)
    scores(phi, packed, *found)
    scores(phi, packed_of(mean[:16], covariance[:16, :16].copy()), *twin)
    assert np.allclose(found, twin, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("of_user", "of_offer", "arms"), [(8, 4, 50), (3, 5, 17), (1, 7, 2), (6, 1, 9)])
def test_a_crowd_gets_what_each_would_get_alone_and_what_written_out_features_get(
    of_user: int, of_offer: int, arms: int
) -> None:
    rng = np.random.default_rng(arms)
    mean, covariance, packed = posterior_of(rng, of_user * of_offer)
    users, offers = rng.random((5_000, of_user), np.float32), rng.random((arms, of_offer), np.float32)
    mask, keys = rng.random((5_000, arms)) < 0.8, np.arange(5_000, dtype=np.uint64)
    mask[7] = False
    ready = crowd.contraction(mean, covariance, offers)
    together = crowd.decide(ready, users, mask, keys, scale=0.7, floor=0.01, with_pmf=True, threads=3)
    assert together.chosen[7] == -1
    assert together.propensity[7] == 0.0
    for user in range(20):
        one = slice(user, user + 1)
        alone = crowd.decide(ready, users[one], mask[one], keys[one], scale=0.7, floor=0.01, with_pmf=True)
        assert np.array_equal(alone.pmf[0], together.pmf[user])
        assert alone.chosen[0] == together.chosen[user]
        assert alone.propensity[0] == together.propensity[user]
        phi, pmf = np.einsum("i,kl->kil", users[user], offers).reshape(arms, -1), np.empty(arms)
        thompson_pmf(np.ascontiguousarray(phi), mask[user], packed, 0.7, 0.01, pmf)
        assert 0.5 * np.abs(pmf - together.pmf[user]).sum() < 1e-4


def test_a_crowd_refuses_what_does_not_fit() -> None:
    ready = crowd.contraction(np.zeros(6), np.eye(6), np.ones((4, 2), np.float32))
    users, mask, keys = np.ones((5, 3), np.float32), np.ones((5, 4), bool), np.zeros(5, np.uint64)
    for wrong in ((users[:4], mask, keys), (users, mask[:, :3], keys), (users * np.float32(np.nan), mask, keys)):
        with pytest.raises(NotARoundError):
            crowd.decide(ready, *wrong, scale=1.0, floor=0.0)
    with pytest.raises(NotARoundError):
        crowd.contraction(np.zeros(5), np.eye(5), np.ones((4, 2), np.float32))
