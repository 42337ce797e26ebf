"""The decision log: written before an answer leaves, read to explain and to replay."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from bandits.features import FEATURE_SET
from schema.decision import DecisionInputs
from schema.ids import instant_of

_INSERT: Final = """
    insert into decisions (
        user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy, snapshot_version,
        catalogue_version, user_version, campaign_id, request, tastes, eligible, offer_ids, propensities, send_probability,
        phi, predictions, pmf_sha256, reason_codes, personal, z, personal_offsets, feature_set
    ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)
"""
_READ: Final = """
    select user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy, snapshot_version,
           catalogue_version, user_version, campaign_id, request, tastes, eligible, offer_ids, propensities, send_probability,
           phi, predictions, pmf_sha256, reason_codes, personal, z, personal_offsets, feature_set
      from decisions
     where user_id = any(array(select $1::bigint union all select user_id from users where merged_into = $1)) and decision_id = $2
"""
_FIND: Final = """
    select user_id, action, offer_ids from decisions
     where user_id = any(array(select $1::bigint union all select user_id from users where merged_into = $1)) and decision_id = $2
"""
_MOVE: Final = "update decisions set user_id = $1 where user_id = $2 and decision_id = $3"


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
    personal: bytes = b""
    z: bytes = b""
    personal_offsets: list[float] = []
    feature_set: int = FEATURE_SET  # by which phi was made

    @property
    def decided_at(self) -> datetime:
        """When it was decided, to the millisecond."""
        return instant_of(self.decision_id)


class Outcome(NamedTuple):
    """Whether something was shown (a schema.decision.Action), and the offers drawn, by slot."""

    action: int
    offer_ids: list[int]


async def insert(connection: Any, rows: Sequence[LoggedDecision]) -> None:
    """Logs decisions in one atomic batch; once this returns they survive a crash."""
    await connection.executemany(_INSERT, [msgspec.structs.astuple(row) for row in rows])


async def read(connection: Any, user_id: int, decision_id: UUID) -> LoggedDecision | None:
    """A logged decision of this user, or of somebody merged into them; None when there is none, or it is another's."""
    row = await connection.fetchrow(_READ, user_id, decision_id)
    return None if row is None else of_row(row)


async def take(connection: Any, user_id: int, decision_id: UUID) -> Outcome | None:
    """What came of a decision of this user, whom the caller's transaction holds; None when there is none, or it is another's.

    A decision that was on its way while its person was merged into this one was logged for the one who is lost: it is moved here.
    """
    row = await connection.fetchrow(_FIND, user_id, decision_id)
    if row is None:
        return None
    if row["user_id"] != user_id:
        await connection.execute(_MOVE, user_id, row["user_id"], decision_id)
    return Outcome(row["action"], row["offer_ids"])


def of_row(row: Mapping[str, Any]) -> LoggedDecision:
    """A whole row of the table."""
    return LoggedDecision(**{**row, "request": msgspec.convert(row["request"], DecisionInputs)})
