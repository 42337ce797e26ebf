"""What is asked of the decision log about a policy, and what came out."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schema.base import Incoming, Kept
from schema.policy import Reason

Group = Literal["policy", "control"]


class EvaluationRequest(Incoming, frozen=True):
    """Which logged decisions a policy is judged on; without bounds all whose windows are closed and which can be drawn again.

    `group` is whose: of the people a policy decides for, or of the control, who get offers at random. The control is small, but it
    tells of everything alike.
    """

    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    group: Group = "policy"
    channel: Literal["in_app", "push"] | None = None
    campaign_id: Annotated[str, Meta(max_length=64)] | None = None
    decisions_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 50_000
    confidence: Annotated[float, Meta(ge=0.5, le=0.999)] = 0.95


class PromotionRequest(Incoming, frozen=True):
    """The body of POST /v1/policies/{name}/promote; a promotion that is forced needs a reason."""

    is_forced: bool = False
    reason: Reason = ""
    evaluation: EvaluationRequest = msgspec.field(default_factory=EvaluationRequest)


class Estimated(Kept, frozen=True):
    """A value a decision with its interval; null where the log does not tell."""

    value: float | None
    low: float | None
    high: float | None


class Weights(Kept, frozen=True):
    """How far the log speaks for a policy: effective rows and rewards, and the importance weights."""

    ess: float
    effective_rewards: float
    max_weight: float
    mean_weight: float
    max_weight_share: float
    unsupported_share: float


class CalibrationRow(Kept, frozen=True):
    """Rows of which about the same reward was expected: how many, what was expected, what came."""

    rows: int
    expected: float
    reward: float


class PolicyEvaluation(Kept, frozen=True):
    """What a policy would have earned a decision, what the one in force would have, and the gain, by estimator.

    `skipped` counts decisions that could not be judged, by reason; `people_groups` is what intervals are drawn over: one a person, or
    4,096 groups of people. Only a challenger that `is_better` is promoted without force:
    `trustworthy`, and the lower bound of the doubly robust gain above 0.
    """

    challenger: str
    incumbent: str
    since: datetime
    until: datetime
    group: Group
    channel: str | None
    campaign_id: str | None
    confidence: float
    decisions: int
    rows: int
    people_groups: int
    skipped: dict[str, int]
    value: dict[str, Estimated]
    value_in_force: dict[str, Estimated]
    gain: dict[str, Estimated]
    weights: Weights
    weights_in_force: Weights
    calibration: list[CalibrationRow]
    trustworthy: bool
    reasons: list[str]
    cautions: list[str]
    is_better: bool
    conclusion: str
