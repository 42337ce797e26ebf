"""Draws of a whole policy: probabilities that sum to one, masks that hold, and the same draw for the same key."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits import features
from bandits.kernels import gate
from bandits.policies import draw
from bandits.policies.draw import NotFiniteError, Terms
from tests import deciding

MODEL = deciding.model()
TERMS = Terms(
    slots=3,
    floor=0.005,
    values=(0.05, 1.0),
    thompson_scale=0.2,
    is_gated=True,
    gate_floor=0.01,
    attention_price=0.1,
    can_be_negative=False,
)
keys = st.integers(0, 2**64 - 1)
masks = st.lists(st.booleans(), min_size=1, max_size=40).filter(any)
policies = st.sampled_from([draw.thompson, draw.uniform])


def phi_of(offers: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (offers, features.DIMS)).astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(policies, masks, st.integers(1, 20), keys)
def test_every_draw_is_a_fair_one(policy: object, mask: list[bool], slots: int, key: int) -> None:
    assert callable(policy)
    open_to = np.array(mask)
    phi, terms = phi_of(len(mask), key % 1000), TERMS._replace(slots=slots)
    drawn = policy(MODEL, phi, open_to, terms, key)
    again = policy(MODEL, phi, open_to, terms, key)
    assert all(np.array_equal(one, other) for one, other in zip(drawn, again, strict=True))
    assert len(drawn.chosen) == len(set(drawn.chosen.tolist())) == min(slots, open_to.sum())
    assert open_to[drawn.chosen].all()
    assert drawn.pmf.sum() == pytest.approx(1, abs=1e-6)
    assert (drawn.pmf[~open_to] == 0).all()
    assert (drawn.pmf[open_to] > 0).all()
    assert drawn.propensities[0] == drawn.pmf[drawn.chosen[0]]
    assert ((drawn.propensities > 0) & (drawn.propensities <= 1 + 1e-6)).all()
    assert drawn.predictions.shape == (len(drawn.chosen), 2, 2)
    assert 0.01 <= drawn.send_probability <= 0.99


@settings(max_examples=50, deadline=None)
@given(masks, keys)
def test_the_control_is_uniform_slot_by_slot(mask: list[bool], key: int) -> None:
    open_to = np.array(mask)
    drawn = draw.uniform(MODEL, phi_of(len(mask), 1), open_to, TERMS, key)
    eligible = int(open_to.sum())
    assert drawn.pmf[open_to] == pytest.approx(np.full(eligible, 1 / eligible))
    assert drawn.propensities == pytest.approx([1 / (eligible - slot) for slot in range(len(drawn.chosen))])
    assert drawn.send_probability == 0.99


def test_the_gate_weighs_the_drawn_offer_with_the_pmf_s_own_deviation() -> None:
    phi = phi_of(10, 5)
    drawn = draw.thompson(MODEL, phi, np.ones(10, np.bool_), TERMS, 77)
    row = phi[drawn.chosen[0]].astype(np.float64)
    means = MODEL.means.astype(np.float64) @ row
    variances = np.array([row @ covariance.astype(np.float64) @ row for covariance in MODEL.covariances])
    assert drawn.predictions[0] == pytest.approx(np.column_stack([means, variances]), rel=1e-4, abs=1e-6)
    value, variance = 0.05 * means[0] + means[1], 0.05**2 * variances[0] + variances[1]
    wanted = gate.send_probability(value, 0.2 * np.sqrt(variance), 0.1, 0.01, True)
    assert drawn.send_probability == pytest.approx(wanted, abs=1e-4)


def test_without_a_gate_everything_is_sent() -> None:
    open_to = np.ones(4, np.bool_)
    for policy in (draw.thompson, draw.uniform):
        drawn = policy(MODEL, phi_of(4, 2), open_to, TERMS._replace(is_gated=False), 3)
        assert (drawn.send_probability, drawn.is_sent) == (1.0, True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_nothing_is_drawn_by_what_is_not_a_number(bad: float) -> None:
    phi = phi_of(4, 2)
    phi[1, 3] = bad
    for policy in (draw.thompson, draw.uniform):
        with pytest.raises(NotFiniteError):
            policy(MODEL, phi, np.ones(4, np.bool_), TERMS, 3)


@pytest.mark.parametrize("worth", [1e200, float("inf"), float("nan")])
def test_nothing_is_drawn_by_a_worth_whose_variance_is_no_number(worth: float) -> None:
    phi, open_to = phi_of(3, 1), np.ones(3, np.bool_)
    with np.errstate(all="ignore"), pytest.raises(NotFiniteError):
        draw.thompson(MODEL, phi, open_to, TERMS._replace(values=(0.0, worth)), 1)
    largest = draw.thompson(MODEL, phi, open_to, TERMS._replace(values=(1e9, 1e9), attention_price=1e9), 1)
    assert largest.pmf.sum() == pytest.approx(1, abs=1e-6)
