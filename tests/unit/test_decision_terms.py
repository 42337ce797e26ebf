"""The terms of a draw: what is logged of the rules, as the person and the snapshot make it count."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bandits.policies.draw import Terms
from bandits.tastes import Tastes
from schema.decision import Context, DecisionInputs, Rules
from service.decision import pipeline, policy
from tests.deciding import NOW


def terms(
    packed: bytes = b"", *, in_control: bool = False, rules: Rules | None = None, dispersion: float = 1.0
) -> Terms:
    given = DecisionInputs(
        rules=rules or policy.push_rules(0.05, 1.0, 0.03),
        context=Context(),
        local_hour=-1,
        may_personalise=True,
        basket_tag_ids=[],
        dispersion=dispersion,
        decided_at=NOW,
    )
    return pipeline.terms_of(given, packed, in_control=in_control)


def pushed(times: int, days_ago: float) -> bytes:
    state = Tastes()
    for _ in range(times):
        state.pushed((NOW - timedelta(days=days_ago)).timestamp(), 1.0)
    return state.pack()


@pytest.mark.parametrize(
    ("packed", "price"),
    [(b"", 0.03), (pushed(3, 0), 0.12), (pushed(3, 15), 0.075), (pushed(3, 300), 0.03)],
)
def test_attention_is_dearer_after_unanswered_pushes_and_recovers(packed: bytes, price: float) -> None:
    assert terms(packed).attention_price == pytest.approx(price, rel=1e-4)


@pytest.mark.parametrize(("kind", "exploration"), [("thompson", 0.4), ("ucb", 0.2), ("epsilon_greedy", 0.2)])
def test_only_thompson_draws_wider_where_answers_are_dispersed(kind: Any, exploration: float) -> None:
    rules = msgspec.structs.replace(policy.push_rules(0.05, 1.0, 0.03), kind=kind, exploration=0.2)
    assert terms(rules=rules, dispersion=4.0).exploration == pytest.approx(exploration)


def test_the_control_is_uniform_whatever_the_policy() -> None:
    assert terms(in_control=True).kind == "uniform"


def test_a_slate_is_diverse_and_a_push_need_not_be() -> None:
    assert policy.in_app_rules(4).per_tag_max == 2
    assert policy.push_rules(0.0, 1.0, 0.0).per_tag_max == 0


def test_what_was_logged_before_there_were_kinds_of_policies_is_read() -> None:
    rules = {
        "slots": 1,
        "floor": 0.005,
        "gate_floor": 0.01,
        "values": [0.05, 1.0],
        "attention_price": 0.0,
        "thompson_scale": 0.1,
        "is_gated": True,
        "can_be_negative": False,
    }
    logged = {
        "rules": rules,
        "context": {},
        "local_hour": 9,
        "may_personalise": True,
        "basket_tag_ids": [],
        "decided_at": NOW.isoformat(),
    }
    assert msgspec.convert(logged, DecisionInputs).rules.kind == "thompson"
