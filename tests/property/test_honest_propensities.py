"""What is logged as a propensity is how often it happens: under masks, floor, slates, diversity, gate and shadow prices."""

from typing import Final, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from bandits.policies import draw
from bandits.policies.draw import Offers
from schema.policy import PolicyKind
from tests.property.test_policies import MODEL, TERMS, shelf, someone
from tests.reference.frequencies import fits

ROUNDS: Final = 100_000
OFFERS: Final = 8
MASK: Final = [True, True, False, True, True, True, False, True]


def offers() -> Offers:
    """Six eligible offers of three kinds, two of them priced."""
    tags = np.array([[0], [0], [1], [1], [2], [2], [0], [-1]], np.int16)
    prices = np.array([0.0, 0.02, 0.0, 0.0, 0.05, 0.0, 0.0, 0.01])
    return shelf(OFFERS, 11, MASK)._replace(tags=tags, prices=prices)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_slates_with_a_gate_are_drawn_as_they_are_logged() -> None:
    """Pairs of slots, sent or not, in one chi-square: what is logged is p(send) times the propensities of the slots."""
    shop, terms = offers(), TERMS._replace(slots=2, per_tag_max=1, floor=0.05, exploration=3.0)
    personal = someone(OFFERS, 3)
    counts, logged = np.zeros((2, OFFERS, OFFERS)), np.zeros((2, OFFERS, OFFERS))
    for key in range(ROUNDS):
        drawn = draw.draw(MODEL, shop, terms, key, personal)
        first, second = drawn.chosen
        counts[int(drawn.is_sent), first, second] += 1
        sent = np.array([1 - drawn.send_probability, drawn.send_probability])
        logged[:, first, second] = sent * drawn.propensities.prod()
        assert drawn.propensities[0] == drawn.pmf[first]
        assert shop.tags[first, 0] != shop.tags[second, 0] or shop.tags[first, 0] < 0
    assert logged.sum() == pytest.approx(1, abs=1e-4)
    assert 0.1 < logged[1].sum() < 0.9
    assert fits(counts.ravel(), logged.ravel())


@pytest.mark.parametrize("kind", get_args(PolicyKind))
def test_every_policy_draws_from_the_pmf_it_logs(kind: PolicyKind) -> None:
    shop, terms = offers(), TERMS._replace(slots=1, floor=0.02, kind=kind)
    counts: NDArray[np.float64] = np.zeros(OFFERS)
    rounds = ROUNDS // 10
    for key in range(rounds):
        drawn = draw.draw(MODEL, shop, terms, key)
        counts[drawn.chosen[0]] += 1
    assert drawn.pmf[~shop.mask].tolist() == [0.0, 0.0]
    assert fits(counts, drawn.pmf)
