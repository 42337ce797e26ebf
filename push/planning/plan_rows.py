"""Planned rows of the outbox as COPY takes them, and how they get there."""

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import numpy as np
import numpy.typing as npt

from push import copy_format, outbox, outbox_days
from schema.campaign import StoredCampaign
from schema.decision import Channel

ROW: Final = copy_format.layout(
    [
        ("user_id", ">i8"),
        ("campaign_id", "V16"),
        ("occurrence_at", ">i8"),
        ("channel", ">i2"),
        ("outbox_id", "V16"),
        ("bucket", ">i2"),
        ("state", ">i2"),
        ("send_at", ">i8"),
        ("send_until", ">i8"),
        ("expires_at", ">i8"),
        ("moment_propensity", ">f8"),
    ]
)
"""Instants are microseconds since 2000, as PostgreSQL keeps them."""

Rows = npt.NDArray[np.void]

_COLUMNS: Final = copy_format.columns_of(ROW)
COPY_TIMEOUT_S: Final = 300.0


class Planned(NamedTuple):
    """A row for the outbox."""

    user_id: int
    outbox_id: UUID
    bucket: int
    send_at: datetime
    send_until: datetime
    expires_at: datetime
    moment_propensity: float


def blank(campaign: StoredCampaign, occurrence: datetime, count: int) -> Rows:
    """Rows of which nothing is known but the occurrence (its naive local start)."""
    rows = copy_format.blank(ROW, count)
    rows["campaign_id"] = np.void(campaign.id.bytes)
    rows["occurrence_at"] = copy_format.microseconds(occurrence.replace(tzinfo=UTC))
    rows["channel"] = int(Channel.PUSH)
    rows["state"] = int(outbox.State.PLANNED)
    return rows


def planned(rows: Rows) -> list[Planned]:
    """The rows one by one, for where there are few."""
    columns = (rows[name].tolist() for name in Planned._fields)
    return [
        Planned(user_id, UUID(bytes=outbox_id), bucket, _at(send), _at(until), _at(expires), propensity)
        for user_id, outbox_id, bucket, send, until, expires, propensity in zip(*columns, strict=True)
    ]


async def insert(connection: Any, campaign: StoredCampaign, occurrence: datetime, rows: Rows) -> int:
    """Writes rows in the caller's transaction; one that exists stays as it is. The number of new rows.

    By COPY, which knows no "on conflict": where a row exists, as after a merge of people, all go the slower way.
    """
    if not len(rows):
        return 0
    await outbox_days.ensure(connection, [occurrence])
    try:
        async with connection.transaction():
            await connection.copy_to_table(
                "outbox",
                source=copy_format.stream(rows),
                columns=_COLUMNS,
                format="binary",
                timeout=COPY_TIMEOUT_S,
            )
    except asyncpg.UniqueViolationError:
        return await outbox.plan(connection, campaign, occurrence, planned(rows))
    return len(rows)


def _at(microseconds_since_2000: int) -> datetime:
    return copy_format.EPOCH + microseconds_since_2000 * copy_format.MICROSECOND
