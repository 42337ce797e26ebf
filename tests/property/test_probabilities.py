"""What policies would have done: of what was drawn, bit for bit what it was drawn from, whatever the policy, the slate and the gate."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandits import features
from bandits.policies import draw, probabilities
from bandits.policies.draw import Offers, Terms
from schema.policy import PolicyKind
from tests import deciding

KINDS = get_args(PolicyKind)


def world(seed: int, offers: int) -> Offers:
    """Offers with features and tags; one in five is not eligible."""
    rng = np.random.default_rng(seed)
    phi = rng.normal(0.0, 1.0, (offers, features.DIMS)).astype(np.float32)
    phi[:, 0] = 1.0
    mask = rng.random(offers) < 0.8
    mask[int(rng.integers(offers))] = True
    return Offers(phi, mask, rng.integers(-1, 6, (offers, 3)).astype(np.int16))


def terms(kind: PolicyKind, slots: int, price: float, per_tag_max: int = 2, exploration: float = 0.3) -> Terms:
    is_gated = slots == 1
    return Terms(kind, slots, 0.02, exploration, (0.05, 1.0), per_tag_max, is_gated, 0.01, price, can_be_negative=False)


@given(
    seed=st.integers(0, 2**32),
    offers=st.integers(1, 30),
    slots=st.integers(1, 6),
    kind=st.sampled_from(KINDS),
    price=st.floats(0.0, 0.3),
    key=st.integers(0, 2**64 - 1),
)
def test_they_are_those_of_the_draw(
    seed: int, offers: int, slots: int, kind: PolicyKind, price: float, key: int
) -> None:
    given_offers, asked, model = world(seed, offers), terms(kind, slots, price), deciding.model()
    drawn = draw.draw(model, given_offers, asked, key)
    others = [terms(other, slots, price, per_tag_max=1) for other in KINDS]
    told = probabilities.judged(model, given_offers, [asked, *others], drawn.chosen)
    own = told.policies[0]
    filled = np.arange(len(drawn.chosen))
    assert own.pmf[filled, drawn.chosen].tolist() == drawn.propensities.tolist()
    assert own.pmf[0].tolist() == drawn.pmf.tolist()
    assert own.send[drawn.chosen[0]] == pytest.approx(drawn.send_probability, abs=1e-12)
    assert ((told.expected >= 0.0) & (told.expected <= 1.05)).all()
    for one in told.policies:
        assert one.pmf.sum(axis=1) == pytest.approx(1.0)
        assert (one.pmf >= 0.0).all()
        assert not one.pmf[:, ~given_offers.mask].any()
        assert ((one.send >= 0.0) & (one.send <= 1.0)).all()
        for slot in filled[1:]:
            assert not one.pmf[slot, drawn.chosen[:slot]].any()


def test_policies_that_differ_are_told_apart() -> None:
    given_offers, model = world(1, 12), deciding.model()
    taken = np.flatnonzero(given_offers.mask)[:1]
    even, greedy = (terms(kind, 1, 0.05, exploration=0.1) for kind in ("uniform", "epsilon_greedy"))
    told = probabilities.judged(model, given_offers, [even, greedy], taken)
    eligible = given_offers.mask
    assert told.policies[0].pmf[0][eligible] == pytest.approx(1.0 / eligible.sum())
    assert told.policies[0].send == pytest.approx(0.99)
    assert told.policies[1].pmf[0].max() > 0.85
    assert told.policies[1].pmf[0].argmax() == np.where(eligible, told.expected, -1.0).argmax()
