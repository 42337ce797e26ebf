"""The policy that comes with the program, and the rules of a draw by whichever policy is in force."""

from functools import lru_cache
from typing import Final

import msgspec

from schema import policy as schema
from schema.decision import Rules
from schema.policy import PolicyKind, PolicySettings
from service.store.policies import InForce

HOLDOUT_SHARE: Final = 0.05
"""Share of the people who get no offers at all, so that what the offers do can be measured."""

CONTROL_SHARE: Final = 0.02
"""Share of the people who get offers at random, so that what the choosing does can be measured."""

BUILT_IN: Final = PolicySettings(name=schema.BUILT_IN)
"""Its floor bounds every importance weight, and costs about as much of the gain."""

DEFAULT: Final = InForce(0, 0, schema.BUILT_IN, 0, BUILT_IN)

EXPLORATION: Final[dict[PolicyKind, float]] = {
    "thompson": 0.2,
    "ucb": 1.0,
    "epsilon_greedy": 0.05,
    "uniform": 0.0,
    "rules_only": 0.0,
    "usual": 0.0,
}
"""How much each kind explores, where nothing else was said; what the number means is told in bandits.policies.choice."""

VALUE_OPEN: Final = 0.05
VALUE_REDEEM: Final = 1.0


@lru_cache(maxsize=64)
def in_app_rules(slots: int, policy: InForce = DEFAULT) -> Rules:
    """For an offer inside the app: no gate, since the person has come by themselves."""
    return _rules(policy, slots, [VALUE_OPEN, VALUE_REDEEM], attention_price=0.0, is_gated=False)


def push_rules(value_open: float, value_redeem: float, attention_price: float, policy: InForce = DEFAULT) -> Rules:
    """For one push: gated, since every push takes somebody's attention."""
    return _rules(policy, 1, [value_open, value_redeem], attention_price=attention_price, is_gated=True)


def gain_rules(attention_price: float, policy: InForce = DEFAULT) -> Rules:
    """For one push of which the gain counts: drawn by Thompson sampling whatever the kind in force, with its floors, gated, in money."""
    rules = _rules(policy, 1, [0.0, 0.0], attention_price=attention_price, is_gated=True)
    scale = rules.exploration if rules.kind == "thompson" else EXPLORATION["thompson"]
    return msgspec.structs.replace(rules, kind="thompson", exploration=scale, can_be_negative=True)


def _rules(policy: InForce, slots: int, values: list[float], *, attention_price: float, is_gated: bool) -> Rules:
    settings = policy.settings
    return Rules(
        kind=settings.kind,
        slots=slots,
        floor=settings.floor,
        gate_floor=settings.gate_floor,
        values=values,
        attention_price=attention_price,
        exploration=EXPLORATION[settings.kind] if settings.exploration is None else settings.exploration,
        per_tag_max=0 if is_gated else settings.per_tag_max,
        is_gated=is_gated,
        can_be_negative=False,
        policy=policy.label,
    )


def as_if_by(policy: InForce, logged: Rules) -> Rules:
    """The rules of a logged draw, had this policy been in force: what a policy settles is its own, all else as it was."""
    own = _rules(policy, logged.slots, logged.values, attention_price=logged.attention_price, is_gated=logged.is_gated)
    return msgspec.structs.replace(own, can_be_negative=logged.can_be_negative)
