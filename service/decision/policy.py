"""The settings of the policy in force."""

from functools import cache
from typing import Final

from schema.decision import Rules

HOLDOUT_SHARE: Final = 0.05
"""Share of the people who get no offers at all, so that what the offers do can be measured."""

CONTROL_SHARE: Final = 0.02
"""Share of the people who get offers at random, so that what the choosing does can be measured."""

FLOOR: Final = 0.005
"""Probability spread evenly over all eligible offers: it bounds every importance weight, and costs about as much of the gain."""

GATE_FLOOR: Final = 0.01
THOMPSON_SCALE: Final = 0.1

VALUE_OPEN: Final = 0.05
VALUE_REDEEM: Final = 1.0


@cache
def in_app_rules(slots: int) -> Rules:
    """For an offer inside the app: no gate, since the person has come by themselves."""
    return Rules(
        slots=slots,
        floor=FLOOR,
        gate_floor=GATE_FLOOR,
        values=[VALUE_OPEN, VALUE_REDEEM],
        attention_price=0.0,
        thompson_scale=THOMPSON_SCALE,
        is_gated=False,
        can_be_negative=False,
    )


def push_rules(value_open: float, value_redeem: float, attention_price: float) -> Rules:
    """For one push: gated, since every push takes somebody's attention."""
    return Rules(
        slots=1,
        floor=FLOOR,
        gate_floor=GATE_FLOOR,
        values=[value_open, value_redeem],
        attention_price=attention_price,
        thompson_scale=THOMPSON_SCALE,
        is_gated=True,
        can_be_negative=False,
    )
