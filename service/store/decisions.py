"""The decision log: written before an answer leaves, read to explain and to replay."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from schema.decision import DecisionInputs
from service.store import decision_columns, decision_rows
from service.store.decision_columns import Columns
from service.store.decision_rows import Row
from service.store.logged_decision import LoggedDecision

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
_FIND_ALL: Final = """
    select k.user_id as asked_by, d.user_id, k.decision_id, d.action, d.offer_ids
      from unnest($1::bigint[], $2::uuid[]) as k(user_id, decision_id)
      cross join lateral (
        select user_id, action, offer_ids from decisions
         where user_id = any(array(select k.user_id union all select user_id from users where merged_into = k.user_id))
           and decision_id = k.decision_id and decision_id between $3 and $4
      ) d
"""
_inputs_of: Final = msgspec.json.Decoder(DecisionInputs).decode
_MOVE: Final = "update decisions set user_id = $1 where user_id = $2 and decision_id = $3"


class Outcome(NamedTuple):
    """Whether something was shown (a schema.decision.Action), and the offers drawn, by slot."""

    action: int
    offer_ids: list[int]


async def insert(connection: Any, rows: Sequence[Row]) -> None:
    """Logs decisions in one atomic batch; once this returns they survive a crash."""
    await _copy(connection, decision_rows.encoded(rows))


async def insert_many(connection: Any, given: Columns) -> None:
    """The same for decisions that lie in columns."""
    await _copy(connection, decision_columns.encoded(given))


async def _copy(connection: Any, data: bytes) -> None:
    columns = decision_rows.COLUMNS
    # bytes would be taken for the name of a file
    await connection.copy_to_table("decisions", source=memoryview(data), columns=columns, format="binary")


async def read(connection: Any, user_id: int, decision_id: UUID) -> LoggedDecision | None:
    """A logged decision of this user, or of somebody merged into them; None when there is none, or it is another's."""
    row = await connection.fetchrow(_READ, user_id, decision_id)
    return None if row is None else of_row(row)


async def look(connection: Any, user_id: int, decision_id: UUID) -> Outcome | None:
    """What came of a decision of this user, or of somebody merged into them; None when there is none, or it is another's."""
    row = await connection.fetchrow(_FIND, user_id, decision_id)
    return None if row is None else Outcome(row["action"], row["offer_ids"])


async def take(connection: Any, asked: Collection[tuple[int, UUID]]) -> dict[tuple[int, UUID], Outcome]:
    """What came of these decisions (user_id, decision_id) of users whom the caller's transaction holds; there is none of another's.

    A decision that was on its way while its person was merged into this one was logged for the one who is lost: it is moved here.
    """
    if not asked:
        return {}
    user_ids, ids = map(list, zip(*asked, strict=True))
    rows = await connection.fetch(_FIND_ALL, user_ids, ids, min(ids), max(ids))
    for row in rows:
        if row["asked_by"] != row["user_id"]:
            await connection.execute(_MOVE, row["asked_by"], row["user_id"], row["decision_id"])
    return {(row["asked_by"], row["decision_id"]): Outcome(row["action"], row["offer_ids"]) for row in rows}


def of_row(row: Mapping[str, Any]) -> LoggedDecision:
    """A whole row of the table."""
    return LoggedDecision(**{**row, "request": _inputs_of(row["request"])})
