"""The decision log: written before an answer leaves, read to explain and to replay."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from schema.decision import DecisionInputs
from schema.ids import instant_of

_INSERT: Final = """
    insert into decisions (
        user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy, snapshot_version,
        catalogue_version, user_version, campaign_id, request, tastes, eligible, offer_ids, propensities, send_probability,
        phi, predictions, pmf_sha256, reason_codes
    ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
"""
_READ: Final = """
    select user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy, snapshot_version,
           catalogue_version, user_version, campaign_id, request, tastes, eligible, offer_ids, propensities, send_probability,
           phi, predictions, pmf_sha256, reason_codes
      from decisions where user_id = $1 and decision_id = $2
"""


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

    @property
    def decided_at(self) -> datetime:
        """When it was decided, to the millisecond."""
        return instant_of(self.decision_id)


async def insert(connection: Any, rows: Sequence[LoggedDecision]) -> None:
    """Logs decisions in one atomic batch; once this returns they survive a crash."""
    await connection.executemany(_INSERT, [msgspec.structs.astuple(row) for row in rows])


async def read(connection: Any, user_id: int, decision_id: UUID) -> LoggedDecision | None:
    """A logged decision of this user; None when there is none, or it is another's."""
    row = await connection.fetchrow(_READ, user_id, decision_id)
    return None if row is None else of_row(row)


def of_row(row: Mapping[str, Any]) -> LoggedDecision:
    """A whole row of the table."""
    return LoggedDecision(**{**row, "request": msgspec.convert(row["request"], DecisionInputs)})
