"""What is logged as a propensity is how often it happens: under masks, floor, slates, diversity, gate and shadow prices."""

from typing import Final, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from bandits import incremental
from bandits.features import NAMES
from bandits.incremental import Own, Worth
from bandits.policies import draw
from bandits.policies.draw import Offers
from bandits.policies.incremental_draw import GainTerms, draw_gain
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


def test_gains_are_drawn_as_they_are_logged() -> None:
    """Offers and the gate in one chi-square, as the product draws them: some masked, one personal part for some of the offers."""
    phi, mask = shelf(OFFERS, 5, MASK).phi, np.array(MASK)
    phi[:, NAMES.index("lp")] = np.linspace(0.0, 3.0, OFFERS)
    worth = Worth(np.linspace(100.0, 240.0, OFFERS), np.linspace(60.0, 20.0, OFFERS))
    is_own = np.arange(OFFERS) % 2 == 0
    own = Own(np.where(is_own, 0.8, 0.0), np.where(is_own, 0.2, 1.0))
    terms = GainTerms(floor=0.05, exploration=0.5, gate_floor=0.02, attention_price=8.0)
    known, rounds = incremental.known(incremental.UNKNOWN), ROUNDS // 4
    counts, logged = np.zeros((2, OFFERS)), np.zeros((2, OFFERS))
    for key in range(rounds):
        drawn = draw_gain(known, own, phi, worth, mask, terms, key)
        counts[int(drawn.is_sent), drawn.chosen] += 1
        sent = np.array([1.0 - drawn.send_probability, drawn.send_probability])
        logged[:, drawn.chosen] = sent * drawn.pmf[drawn.chosen]
    assert drawn.pmf[~mask].tolist() == [0.0, 0.0]
    assert (drawn.pmf[mask] >= terms.floor / mask.sum() * 0.999).all()
    assert logged.sum() == pytest.approx(1, abs=1e-6)
    assert 0.1 < logged[1].sum() < 0.9
    assert fits(counts.ravel(), logged.ravel())
