"""Draws of a whole policy: probabilities that sum to one, masks that hold, and the same draw for the same key."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bandits import features
from bandits.kernels import gate
from bandits.personal import PersonalScores
from bandits.policies import draw
from bandits.policies.draw import Draw, Offers, Terms
from bandits.policies.scores import NotFiniteError
from schema.policy import PolicyKind
from tests import deciding
from tests.reference.worth import sigmoid

MODEL = deciding.model()
LINEAR = MODEL._replace(link="identity")
TERMS = Terms(
    kind="thompson",
    slots=3,
    floor=0.005,
    exploration=0.2,
    values=(0.05, 1.0),
    per_tag_max=2,
    is_gated=True,
    gate_floor=0.01,
    attention_price=0.1,
    can_be_negative=False,
)
keys = st.integers(0, 2**64 - 1)
masks = st.lists(st.booleans(), min_size=1, max_size=40).filter(any)
kinds = st.sampled_from(get_args(PolicyKind))
models = st.sampled_from([MODEL, LINEAR])
NOT_PREDICTING = ("uniform", "rules_only", "usual")


def phi_of(offers: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, (offers, features.DIMS)).astype(np.float32)


def shelf(offers: int, seed: int, mask: list[bool] | None = None) -> Offers:
    tags = np.random.default_rng(seed).integers(-1, 6, (offers, 2)).astype(np.int16)
    return Offers(phi_of(offers, seed), np.array(mask or [True] * offers), tags)


def someone(offers: int, seed: int) -> PersonalScores:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(offers, 8)).astype(np.float32)
    return PersonalScores(z, rng.normal(size=8).astype(np.float32), 0.1 * np.eye(8, dtype=np.float32))


@settings(max_examples=200, deadline=None)
@given(models, kinds, masks, st.integers(1, 20), st.booleans(), keys)
def test_every_draw_is_a_fair_one(
    model: object, kind: PolicyKind, mask: list[bool], slots: int, is_known: bool, key: int
) -> None:
    offers, terms = shelf(len(mask), key % 1000, mask), TERMS._replace(slots=slots, kind=kind)
    personal = someone(len(mask), key % 999) if is_known else None
    drawn: Draw = draw.draw(model, offers, terms, key, personal)  # type: ignore[arg-type] # a Model
    again = draw.draw(model, offers, terms, key, personal)  # type: ignore[arg-type] # a Model
    assert all(np.array_equal(one, other) for one, other in zip(drawn, again, strict=True))
    assert len(drawn.chosen) == len(set(drawn.chosen.tolist())) == min(slots, offers.mask.sum())
    assert offers.mask[drawn.chosen].all()
    assert drawn.pmf.sum() == pytest.approx(1, abs=1e-6)
    assert (drawn.pmf[~offers.mask] == 0).all()
    assert (drawn.pmf[offers.mask] > 0).all()
    assert drawn.propensities[0] == drawn.pmf[drawn.chosen[0]]
    assert ((drawn.propensities > 0) & (drawn.propensities <= 1 + 1e-6)).all()
    assert drawn.predictions.shape == (len(drawn.chosen), 2, 2)
    assert 0.01 <= drawn.send_probability <= 0.99


@settings(max_examples=50, deadline=None)
@given(masks, keys)
def test_the_control_is_uniform_slot_by_slot(mask: list[bool], key: int) -> None:
    offers = shelf(len(mask), 1, mask)
    drawn = draw.draw(MODEL, offers, TERMS._replace(kind="uniform", per_tag_max=0), key)
    eligible = int(offers.mask.sum())
    assert drawn.pmf[offers.mask] == pytest.approx(np.full(eligible, 1 / eligible))
    assert drawn.propensities == pytest.approx([1 / (eligible - slot) for slot in range(len(drawn.chosen))])
    assert drawn.send_probability == 0.99


@pytest.mark.parametrize("model", [MODEL, LINEAR])
@pytest.mark.parametrize("personal", [None, someone(10, 4)])
def test_predictions_are_those_of_the_predictor_with_the_person_s_own_part(
    model: object, personal: PersonalScores | None
) -> None:
    offers = shelf(10, 5)
    drawn = draw.draw(model, offers, TERMS, 77, personal)  # type: ignore[arg-type] # a Model
    for slot, k in enumerate(drawn.chosen):
        row = offers.phi[k].astype(np.float64)
        means = MODEL.means.astype(np.float64) @ row
        variances = np.array(
            [
                row @ covariance.astype(np.float64) @ row
                for covariance in MODEL.factors @ MODEL.factors.transpose(0, 2, 1)
            ]
        )
        if personal is not None:
            own = float(personal.z[k] @ personal.mean)
            means[1], variances[1] = means[1] + own, variances[1] + personal.z[k] @ personal.covariance @ personal.z[k]
            assert drawn.personal_offsets[slot] == pytest.approx(own, rel=1e-4)
        assert drawn.predictions[slot] == pytest.approx(np.column_stack([means, variances]), rel=1e-4, abs=1e-6)


def test_the_gate_weighs_the_value_of_the_drawn_offer_with_its_plain_deviation() -> None:
    drawn = draw.draw(MODEL, shelf(10, 5), TERMS._replace(exploration=2.0, attention_price=0.6), 77)
    eta, variance = drawn.predictions[0].astype(np.float64).T
    chance = sigmoid(eta)
    worth = np.array(TERMS.values)
    deviation = np.sqrt(((worth * chance * (1 - chance)) ** 2) @ variance)
    wanted = gate.send_probability(worth @ chance, 2.0 * deviation, 0.6, 0.01, True)
    assert drawn.send_probability == pytest.approx(wanted, abs=1e-3)
    assert 0.01 < drawn.send_probability < 0.99, "or the price tests nothing"


def test_without_a_gate_everything_is_sent() -> None:
    for kind in get_args(PolicyKind):
        drawn = draw.draw(MODEL, shelf(4, 2), TERMS._replace(is_gated=False, kind=kind), 3)
        assert (drawn.send_probability, drawn.is_sent) == (1.0, True)


@pytest.mark.parametrize("kind", NOT_PREDICTING)
def test_who_predicts_nothing_cannot_weigh_a_price(kind: PolicyKind) -> None:
    assert draw.draw(MODEL, shelf(4, 2), TERMS._replace(kind=kind, attention_price=1e9), 3).send_probability == 0.99


@pytest.mark.parametrize(("kind", "column"), [("usual", "lp"), ("rules_only", "lpop")])
def test_the_plain_policies_follow_their_column(kind: PolicyKind, column: str) -> None:
    offers = shelf(9, 6)
    drawn = draw.draw(MODEL, offers, TERMS._replace(kind=kind), 3)
    assert np.argmax(drawn.pmf) == np.argmax(offers.phi[:, features.NAMES.index(column)])
    assert drawn.pmf.max() == pytest.approx(0.995 + 0.005 / 9)


def test_the_greedy_and_the_hopeful_differ_by_what_is_not_known() -> None:
    """Of two offers nearly alike, the one of which less is known is worth a try to UCB alone."""
    phi = np.zeros((2, features.DIMS), np.float32)
    phi[0, features.NAMES.index("lp")], phi[1, features.NAMES.index("wet")] = 0.01, 1.0
    offers = Offers(phi, np.ones(2, np.bool_), np.full((2, 1), -1, np.int16))
    even = MODEL._replace(means=np.zeros_like(MODEL.means))
    even.means[:, features.NAMES.index("lp")] = 1.0
    greedy = draw.draw(even, offers, TERMS._replace(kind="epsilon_greedy", exploration=0.1), 3)
    assert greedy.pmf == pytest.approx([0.95, 0.05])
    hopeful = draw.draw(even, offers, TERMS._replace(kind="ucb", exploration=2.0), 3)
    assert hopeful.pmf == pytest.approx([0.0025, 0.9975])


def test_a_shadow_price_is_paid_before_the_pmf_and_by_the_gate() -> None:
    offers = shelf(6, 5)
    before = draw.draw(MODEL, offers, TERMS, 77)
    dear = int(np.argmax(before.pmf))
    prices = np.zeros(6)
    prices[dear] = 10.0
    after = draw.draw(MODEL, offers._replace(prices=prices), TERMS, 77)
    assert after.pmf[dear] == pytest.approx(0.005 / 6, rel=1e-3)
    free = TERMS._replace(attention_price=0.0)
    assert draw.draw(MODEL, offers, free, 77).send_probability == 0.99
    only = offers._replace(prices=np.full(6, 10.0))
    assert draw.draw(MODEL, only, free, 77).send_probability == 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_nothing_is_drawn_by_what_is_not_a_number(bad: float) -> None:
    offers = shelf(4, 2)
    offers.phi[1, 3] = bad
    for kind in get_args(PolicyKind):
        everything = TERMS._replace(kind=kind, slots=4)
        with np.errstate(all="ignore"), pytest.raises(NotFiniteError):
            draw.draw(MODEL, offers, everything, 3)


@pytest.mark.parametrize("worth", [1e200, float("inf"), float("nan")])
def test_nothing_is_drawn_by_a_worth_whose_variance_is_no_number(worth: float) -> None:
    offers = shelf(3, 1)
    with np.errstate(all="ignore"), pytest.raises(NotFiniteError):
        draw.draw(MODEL, offers, TERMS._replace(values=(0.0, worth)), 1)
    largest = draw.draw(MODEL, offers, TERMS._replace(values=(1e9, 1e9), attention_price=1e9), 1)
    assert largest.pmf.sum() == pytest.approx(1, abs=1e-6)


def test_a_person_whose_part_is_no_posterior_is_refused() -> None:
    damaged = someone(4, 1)._replace(covariance=-np.eye(8, dtype=np.float32))
    with pytest.raises(NotFiniteError):
        draw.draw(MODEL, shelf(4, 2), TERMS, 3, damaged)
