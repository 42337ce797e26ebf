"""What an operator says about a policy: its kind and its settings; which one is in force, and how that came."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from schema.base import Incoming, Kept

PolicyKind = Literal["thompson", "ucb", "epsilon_greedy", "uniform", "rules_only", "usual"]
"""How a policy turns what was learned into a pmf over the eligible offers."""

PolicyName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
Reason = Annotated[str, Meta(max_length=500)]

BUILT_IN: Final = "default"
"""Name of the policy that is in force where none was promoted; its settings come with the program."""


class PolicySettings(Incoming, frozen=True):
    """The body of POST /v1/policies.

    `per_tag_max` slots of a slate go to one tag, as far as there are offers with other tags; 0 is no such rule.
    `exploration` is of the kind: for thompson the scale of the values' deviations, for ucb how many deviations are added, for
    epsilon_greedy the share drawn uniformly; null takes the kind's default. `floor` is the probability spread evenly over all
    eligible offers, `gate_floor` the least probability of sending and of not sending a push: both bound the weights with which
    other policies can be judged on this one's decisions.
    """

    name: PolicyName
    kind: PolicyKind = "thompson"
    exploration: Annotated[float, Meta(ge=0, le=10)] | None = None
    floor: Annotated[float, Meta(ge=0.0001, le=1)] = 0.002
    gate_floor: Annotated[float, Meta(ge=0.0001, le=0.5)] = 0.01
    per_tag_max: Annotated[int, Meta(ge=0, le=12)] = 2


class Policy(Kept, frozen=True):
    """A version of a policy. Versions of a name count from 1; the built-in policy is version 0 of `default`."""

    version: int
    settings: PolicySettings
    created_at: datetime | None = None
    created_by: str | None = None
    is_in_force: bool = False


class Promotion(Kept, frozen=True):
    """How a policy came into force: by a promotion or by a rollback, by whom and why, and the evaluation it was judged by."""

    promotion_id: int
    name: str
    version: int
    kind: Literal["promote", "rollback"]
    promoted_at: datetime
    promoted_by: str
    is_forced: bool
    reason: str
    evaluation: dict[str, Any] | None = None


class Policies(Kept, frozen=True):
    """The answer to GET /v1/policies: the newest version of every policy, and the newest promotions first."""

    in_force: str
    data: list[Policy]
    promotions: list[Promotion]


class ReasonGiven(Incoming, frozen=True):
    """The body of calls that are recorded with a reason."""

    reason: Reason = ""
