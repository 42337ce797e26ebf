"""A row of the decision log."""

from datetime import datetime
from uuid import UUID

import msgspec

from schema.decision import DecisionInputs
from schema.ids import instant_of


class LoggedDecision(msgspec.Struct, frozen=True):
    """A row of the log; the columns are explained in the migration that makes the table."""

    user_id: int
    decision_id: UUID
    placement: str
    channel: int
    action: int
    in_holdout: bool
    in_control: bool
    is_degraded: bool
    policy: str
    snapshot_version: int
    catalogue_version: int
    user_version: int
    campaign_id: UUID | None
    request: DecisionInputs
    tastes: bytes
    eligible: bytes
    offer_ids: list[int]
    propensities: list[float]
    send_probability: float
    phi: bytes
    predictions: bytes
    pmf_sha256: bytes
    reason_codes: list[str]
    personal: bytes
    z: bytes
    personal_offsets: list[float]
    feature_set: int  # by which phi was made

    @property
    def decided_at(self) -> datetime:
        """When it was decided, to the millisecond."""
        return instant_of(self.decision_id)
