"""What was done to a campaign, when and by whom. Entries are written in the transaction of what they tell of, and never changed."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from schema.campaign import Campaign, CampaignChange, StoredCampaign, What

_NOTE: Final = """
    insert into campaign_changes (campaign_id, external_id, what, changed_at, changed_by, body) values ($1, $2, $3, $4, $5, $6)
"""
_PAGE: Final = """
    select change, what, changed_at, changed_by, body from campaign_changes
     where campaign_id = $1 and change < $2 order by change desc limit $3
"""
_AUTHOR: Final = """
    select change, changed_by from campaign_changes
     where campaign_id = $1 and what in ('made', 'changed') order by change desc limit 1
"""


async def note(connection: Any, stored: StoredCampaign, what: What, now: datetime, by: str) -> None:
    """Writes down what was done; of what it was made or changed to, all of it."""
    body = msgspec.to_builtins(stored.campaign) if what in {"made", "changed"} else None
    await connection.execute(_NOTE, stored.id, stored.campaign.campaign_id, what, now, by, body)


async def page(connection: Any, campaign_id: UUID, before: int, limit: int) -> list[CampaignChange]:
    """Changes before one by number, the newest first."""
    rows = await connection.fetch(_PAGE, campaign_id, before, limit)
    return [
        CampaignChange(
            change=row["change"],
            what=row["what"],
            changed_at=row["changed_at"],
            changed_by=row["changed_by"],
            campaign=None if row["body"] is None else msgspec.convert(row["body"], Campaign),
        )
        for row in rows
    ]


async def author(connection: Any, campaign_id: UUID) -> tuple[int, str] | None:
    """The number of the change that made it what it is, and who made that; None for one made by an older program."""
    row = await connection.fetchrow(_AUTHOR, campaign_id)
    return None if row is None else (row[0], row[1])
