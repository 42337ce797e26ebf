"""The shared posterior: a ridge regression over what is closed, in any order and parts, and unbiased while answers are under way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits import posterior
from bandits.posterior import AGE_EDGES_S, CLOSED, COHORT_S, EPOCH_S, WINDOW_S, NotAPosteriorError, Prior, Sums
from tests.reference import learning as reference

F64 = NDArray[np.float64]
DIMS = 5
NOW_S = 1_780_000_000.0
HOUR_S = 3600.0

quick = settings(max_examples=50, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def prior(rng: np.random.Generator) -> Prior:
    return Prior(rng.normal(0.0, 0.1, DIMS), rng.uniform(1.0, 50.0, DIMS), 0.1)


def rows(rng: np.random.Generator, count: int) -> tuple[NDArray[np.float32], F64, F64]:
    """phi (count, DIMS), rewards by head (count, 2), instants (count,) up to a year ago."""
    phi = rng.uniform(-1.0, 1.0, (count, DIMS)).astype(np.float32)
    return phi, (rng.random((count, 2)) < 0.3).astype(float), NOW_S - rng.uniform(80 * HOUR_S, 365 * 24 * HOUR_S, count)


def total(phi: NDArray[np.float32], reward: F64, at_s: F64, order: NDArray[np.int64]) -> Sums:
    sums = Sums(DIMS)
    for i in order:
        sums.add_exposure(phi[i], at_s[i])
        for head in (0, 1):
            if reward[i, head]:
                sums.add_reward(head, phi[i], at_s[i], 2 * HOUR_S, 1.0)
    return sums


@quick
@given(seeds, st.integers(0, 60))
def test_closed_sums_in_any_order_and_parts_give_the_ridge_regression(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    phi, reward, at_s = rows(rng, count)
    priors = [prior(rng), prior(rng)]
    order = rng.permutation(count)
    sums = total(phi, reward, at_s, order[: count // 3])
    sums.add(posterior.unpack(total(phi, reward, at_s, order[count // 3 :]).pack(), DIMS))
    for head, found in enumerate(posterior.compose({CLOSED: sums}, priors, NOW_S)):
        mean, covariance = reference.ridge(phi.astype(float), reward[:, head], at_s, NOW_S, priors[head])
        # Responses are sums of products in float32.
        np.testing.assert_allclose(found.mean, mean, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-12)
        assert found.exposures == pytest.approx((0.5 ** ((NOW_S - at_s) / posterior.HALF_LIFE_S)).sum())


def test_sums_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="not the sums"):
        posterior.unpack(Sums(DIMS).pack(), DIMS + 1)


@pytest.mark.parametrize("value", [np.nan, -1e12])
def test_sums_that_give_no_posterior_are_refused(value: float) -> None:
    sums = Sums(DIMS)
    sums.add_exposure(np.ones(DIMS, np.float32), NOW_S)
    sums.outer[0] = value
    with pytest.raises(NotAPosteriorError):
        posterior.compose({CLOSED: sums}, [prior(np.random.default_rng(0))] * 2, NOW_S)


def test_a_reward_that_is_not_a_number_is_refused() -> None:
    sums = Sums(DIMS)
    sums.add_reward(0, np.ones(DIMS, np.float32), NOW_S, 0.0, np.nan)
    with pytest.raises(NotAPosteriorError, match="head open"):
        posterior.compose({CLOSED: sums}, [prior(np.random.default_rng(0))] * 2, NOW_S)


def test_cohorts_and_their_end() -> None:
    cohort = posterior.cohort_of(EPOCH_S)
    assert posterior.cohort_of(EPOCH_S + COHORT_S - 1) == cohort
    assert posterior.cohort_of(EPOCH_S + COHORT_S) == cohort + 1
    end_s = (cohort + 1) * COHORT_S
    assert not posterior.is_closed(cohort, end_s + WINDOW_S - 1)
    assert posterior.is_closed(cohort, end_s + WINDOW_S)
    assert posterior.maturity(CLOSED, np.ones(len(AGE_EDGES_S)), 0.0) == 1.0


def test_the_share_of_rewards_that_arrived_is_learned_from_closed_windows() -> None:
    assert posterior.arrived_shares(np.zeros(len(AGE_EDGES_S)), WINDOW_S)[-1] == 1.0
    np.testing.assert_allclose(
        posterior.arrived_shares(np.zeros(len(AGE_EDGES_S)), WINDOW_S), np.array(AGE_EDGES_S) / WINDOW_S
    )
    open_s = posterior.WINDOWS_S[0]
    np.testing.assert_allclose(
        posterior.arrived_shares(np.zeros(len(AGE_EDGES_S)), open_s), np.minimum(np.array(AGE_EDGES_S) / open_s, 1.0)
    )
    early = np.zeros(len(AGE_EDGES_S))
    early[0] = 1e6
    assert posterior.arrived_shares(early, WINDOW_S)[0] > 0.999


@pytest.mark.parametrize("age_hours", [3, 9, 15, 27, 39, 51, 63, 75])
def test_the_delay_rule_is_unbiased_at_every_age(age_hours: int) -> None:
    """Answers take up to 72 h, evenly. The truth is 0.3 whatever the age; without the rule it would seem to be 0.3 F(age)."""
    rng = np.random.default_rng(age_hours)
    count, truth, one = 4_000, 0.3, np.ones(1, np.float32)
    cohort = posterior.cohort_of(NOW_S - age_hours * HOUR_S - COHORT_S / 2)
    now_s = (cohort + 0.5) * COHORT_S + age_hours * HOUR_S
    young, closed = Sums(1), Sums(1)
    exposed_s = rng.uniform(cohort * COHORT_S, (cohort + 1) * COHORT_S, count)
    delays_s = np.where(rng.random(count) < truth, rng.uniform(0.0, WINDOW_S, count), np.inf)
    for at_s, delay_s in zip(exposed_s, delays_s, strict=True):
        young.add_exposure(one, at_s)
        if at_s + delay_s <= now_s:
            young.add_reward(1, one, at_s, delay_s, 1.0)
    for delay_s in rng.uniform(0.0, WINDOW_S, 3_000):
        closed.add_exposure(np.zeros(1, np.float32), now_s - 100 * HOUR_S)
        closed.add_reward(1, np.zeros(1, np.float32), now_s - 100 * HOUR_S, delay_s, 1.0)
    weak = Prior(np.zeros(1), np.full(1, 1e-6), 0.1)
    found = posterior.compose({cohort: young, CLOSED: closed}, [weak, weak], now_s)[1]
    share = min(age_hours / 72, 1.0)
    noise = np.sqrt(truth * share / count) / share
    assert found.mean[0] == pytest.approx(truth, abs=4 * noise + 0.03 * truth)
    naive = young.response[1, 0] / young.totals[0]
    assert naive == pytest.approx(truth * share, abs=4 * np.sqrt(truth * share / count))
