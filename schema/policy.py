"""What an operator says about a policy: its kind and its settings."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from schema.base import Incoming

PolicyKind = Literal["thompson", "ucb", "epsilon_greedy", "uniform", "rules_only", "usual"]
"""How a policy turns what was learned into a pmf over the eligible offers."""

PolicyName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]

BUILT_IN: Final = "default"
"""Name of the policy that is in force where none was ever promoted; its settings come with the program."""


class PolicySettings(Incoming, frozen=True):
    """The body of POST /v1/policies.

    `thompson_scale` multiplies the deviation of every value before the pmf is taken. `floor` is the probability spread evenly over
    all eligible offers, `gate_floor` the least probability of sending and of not sending a push: both bound the weights with
    which other policies can be judged on this one's decisions.
    """

    name: PolicyName
    kind: PolicyKind = "thompson"
    thompson_scale: Annotated[float, Meta(ge=0.001, le=10)] = 0.1
    floor: Annotated[float, Meta(ge=0.0001, le=1)] = 0.005
    gate_floor: Annotated[float, Meta(ge=0.0001, le=0.5)] = 0.01
