"""Decisions by gains: worth in money, whose own part may be used for which offers, and the scale that is logged."""

from uuid import UUID

import msgspec
import numpy as np
import pytest

from bandits import incremental
from bandits.features import DIMS
from bandits.incremental import Own
from bandits.kernels import random
from bandits.policies.draw import Offers, Terms
from bandits.policies.incremental_draw import GainTerms, draw_gain, exploration
from schema.decision import Context, DecisionInputs, GainInputs
from service.decision import gains, pipeline, policy
from service.decision.gains import GainAsk
from service.decision.prices import prices_of
from service.store.effects import OwnPart
from tests import deciding
from tests.deciding import NOW, offer

SHELF = deciding.catalogue(
    offer("coffee", margin_minor=160, discount_type="percent", discount_percent=20, price_minor=300),
    offer("bread", margin_minor=90, discount_type="amount", discount_minor=30),
    offer("remedy", margin_minor=200, discount_type="amount", discount_minor=10, is_sensitive=True),
    offer("beer", margin_minor=150, min_age=18),
    offer("free", margin_minor=50, discount_type="percent", discount_percent=50),
    offer("yen", margin_minor=50, currency="JPY"),
    offer("loss", margin_minor=-50, discount_type="amount", discount_minor=10),
)
KNOWN = incremental.known(incremental.UNKNOWN._replace(own_variance=0.3))
DECISION = UUID(int=77 << 64)


def given(gain: GainInputs | None, *, may_personalise: bool = True) -> DecisionInputs:
    return DecisionInputs(
        rules=policy.gain_rules(4.0),
        context=Context(),
        local_hour=9,
        may_personalise=may_personalise,
        basket_tag_ids=[],
        decided_at=NOW,
        gain=gain,
    )


def test_worth_is_in_minor_units_and_of_one_currency() -> None:
    worth = gains.worth_of(SHELF)
    assert worth.margin.tolist() == [160, 90, 200, 150, 50, 50, -50]
    assert worth.discount.tolist() == [60, 30, 10, 0, 0, 0, 10]
    assert gains.is_priced(SHELF, "USD").tolist() == [True, True, True, True, False, False, False]
    assert gains.is_priced(SHELF, "JPY").tolist() == [False] * 5 + [True, False]


def test_whose_own_part_is_used() -> None:
    known_of = GainInputs(effect_version=3, exploration=0.5, own_mean=0.7, own_variance=0.1)
    mean, variance = gains.own_of(SHELF, KNOWN, given(known_of))
    assert mean.tolist() == [0.7, 0.7, 0.0, 0.0, 0.7, 0.7, 0.7]
    assert variance.tolist() == [0.1, 0.1, 0.3, 0.3, 0.1, 0.1, 0.1]
    for nobodys in (
        given(known_of, may_personalise=False),
        given(GainInputs(effect_version=3, exploration=0.5)),
        given(None),
    ):
        mean, variance = gains.own_of(SHELF, KNOWN, nobodys)
        assert not mean.any()
        assert (variance == 0.3).all()


def test_what_is_logged_holds_nothing_personal_without_consent() -> None:
    asked = GainAsk(KNOWN, 3, 0.5, OwnPart(0.7, 0.1))
    assert gains.logged(None, may_personalise=True) is None
    kept = gains.logged(asked, may_personalise=True)
    assert kept == GainInputs(effect_version=3, exploration=0.5, own_mean=0.7, own_variance=0.1)
    assert gains.logged(asked, may_personalise=False) == GainInputs(effect_version=3, exploration=0.5)


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_the_draw_is_by_the_logged_scale_under_the_mask(scale: float) -> None:
    model = deciding.model()
    phi = np.random.default_rng(2).uniform(0.0, 1.0, (7, DIMS)).astype(np.float32)
    mask = np.array([True, True, True, False, False, False, False])
    inputs = given(GainInputs(effect_version=3, exploration=scale, own_mean=0.7, own_variance=0.1))
    terms = pipeline.terms_of(inputs, b"", in_control=False)
    drawn = pipeline.draw_for_goal(model, KNOWN, SHELF, inputs, Offers(phi, mask, SHELF.tag_ids), terms, DECISION, None)
    by = GainTerms(terms.floor, scale, terms.gate_floor, 4.0)
    own = Own(np.array([0.7, 0.7, 0.0, 0.0, 0.7, 0.7, 0.7]), np.array([0.1, 0.1, 0.3, 0.3, 0.1, 0.1, 0.1]))
    key = random.key_from_bytes(DECISION.bytes)
    wanted = draw_gain(KNOWN, own, phi, gains.worth_of(SHELF), mask, by, key)
    assert drawn.pmf.tolist() == wanted.pmf.tolist()
    assert (drawn.chosen.tolist(), drawn.propensities.tolist()) == ([wanted.chosen], [wanted.pmf[wanted.chosen]])
    assert (drawn.send_probability, drawn.is_sent) == (wanted.send_probability, wanted.is_sent)
    assert drawn.predictions.shape == (1, 2, 2)


def test_a_shadow_price_is_told_in_margins_and_lowers_the_gain() -> None:
    inputs = given(GainInputs(effect_version=3, exploration=0.1))
    scarce = msgspec.structs.replace(inputs, prices=[(SHELF.offers[2].id, 0.5)], cost_price=0.01)
    prices = prices_of(SHELF, scarce)
    assert prices_of(SHELF, inputs) is None
    assert prices is not None
    assert prices.tolist() == pytest.approx([160 * 0.6, 90 * 0.3, 200 * (0.5 + 0.1), 0.0, 0.0, 0.0, 0.0])
    phi = np.random.default_rng(2).uniform(0.0, 1.0, (7, DIMS)).astype(np.float32)
    mask = np.array([False, True, True, False, False, False, False])
    terms = pipeline.terms_of(inputs, b"", in_control=False)
    plain, priced = (
        pipeline.draw_for_goal(
            deciding.model(), KNOWN, SHELF, one, Offers(phi, mask, SHELF.tag_ids, of), terms, DECISION, None
        )
        for one, of in ((inputs, None), (scarce, prices))
    )
    assert priced.pmf[2] < plain.pmf[2]
    assert priced.pmf.sum() == pytest.approx(1.0)


def test_the_control_is_drawn_evenly_and_sent_with_all_but_the_floor() -> None:
    inputs = given(GainInputs(effect_version=3, exploration=1.0))
    terms: Terms = pipeline.terms_of(inputs, b"", in_control=True)
    offers = Offers(np.zeros((7, DIMS), np.float32), np.array([True] * 4 + [False] * 3), SHELF.tag_ids)
    drawn = pipeline.draw_for_goal(deciding.model(), KNOWN, SHELF, inputs, offers, terms, DECISION, None)
    assert drawn.pmf.tolist() == pytest.approx([0.25] * 4 + [0.0] * 3)
    assert drawn.send_probability == 0.99


def test_exploration_falls_as_pushes_are_learned_from() -> None:
    assert [exploration(pushes, 0.2) for pushes in (0, 60, 240, 10**6)] == [1.0, 1.0, 0.5, 0.2]
    assert exploration(10**6, 3.0) == 3.0
