"""The settings of the policy in force."""

from functools import cache
from typing import Final

from schema.decision import Rules
from schema.policy import PolicyKind

HOLDOUT_SHARE: Final = 0.05
"""Share of the people who get no offers at all, so that what the offers do can be measured."""

CONTROL_SHARE: Final = 0.02
"""Share of the people who get offers at random, so that what the choosing does can be measured."""

FLOOR: Final = 0.005
"""Probability spread evenly over all eligible offers: it bounds every importance weight, and costs about as much of the gain."""

GATE_FLOOR: Final = 0.01

KIND: Final[PolicyKind] = "thompson"

EXPLORATION: Final[dict[PolicyKind, float]] = {
    "thompson": 0.2,
    "ucb": 1.0,
    "epsilon_greedy": 0.05,
    "uniform": 0.0,
    "rules_only": 0.0,
    "usual": 0.0,
}
"""How much each kind explores, where nothing else was said; what the number means is told in bandits.policies.choice."""

PER_TAG_MAX: Final = 2
"""A slate gives at most so many slots to one tag, as far as there are offers with other tags."""

VALUE_OPEN: Final = 0.05
VALUE_REDEEM: Final = 1.0


@cache
def in_app_rules(slots: int) -> Rules:
    """For an offer inside the app: no gate, since the person has come by themselves."""
    return Rules(
        kind=KIND,
        slots=slots,
        floor=FLOOR,
        gate_floor=GATE_FLOOR,
        values=[VALUE_OPEN, VALUE_REDEEM],
        attention_price=0.0,
        exploration=EXPLORATION[KIND],
        per_tag_max=PER_TAG_MAX,
        is_gated=False,
        can_be_negative=False,
    )


def push_rules(value_open: float, value_redeem: float, attention_price: float) -> Rules:
    """For one push: gated, since every push takes somebody's attention."""
    return Rules(
        kind=KIND,
        slots=1,
        floor=FLOOR,
        gate_floor=GATE_FLOOR,
        values=[value_open, value_redeem],
        attention_price=attention_price,
        exploration=EXPLORATION[KIND],
        per_tag_max=0,
        is_gated=True,
        can_be_negative=False,
    )
