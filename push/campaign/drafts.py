"""Campaigns that are drafts: they plan nothing, may be changed and deleted, and become active when they are approved."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from push.campaign.occurrences import due_from, first_occurrence
from schema.campaign import StoredCampaign

_HOLD: Final = "select 1 from campaigns where campaign_id = $1 and status = 'draft' for update"
_REPLACE: Final = "update campaigns set body = $2 where campaign_id = $1"
_DELETE: Final = "delete from campaigns where campaign_id = $1"
_APPROVE: Final = """
    update campaigns set status = 'active', next_occurrence_at = $2, plan_at = $3 where campaign_id = $1
"""
# Nothing of a draft's budget can have been promised.
_FORGET_BUDGET: Final = "delete from allowances where holder = $1"
_ALLOW: Final = "insert into allowances (holder, budget_minor, ends_at) values ($1, $2, $3)"


async def hold(connection: Any, draft: StoredCampaign) -> bool:
    """Keeps a draft as it is until the caller's transaction ends; False when it is none any more."""
    return await connection.fetchval(_HOLD, draft.id) is not None


async def replace(connection: Any, draft: StoredCampaign) -> None:
    """Stores what a draft, which is held, was changed to."""
    await connection.execute(_REPLACE, draft.id, msgspec.to_builtins(draft.campaign))
    await connection.execute(_FORGET_BUDGET, draft.id)
    if draft.campaign.budget_minor is not None:
        ends_at = draft.campaign.ends_at.replace(tzinfo=UTC)
        await connection.execute(_ALLOW, draft.id, draft.campaign.budget_minor, ends_at)


async def delete(connection: Any, draft: StoredCampaign) -> None:
    """Deletes a draft, which is held."""
    await connection.execute(_FORGET_BUDGET, draft.id)
    await connection.execute(_DELETE, draft.id)


async def approve(connection: Any, draft: StoredCampaign, now: datetime) -> StoredCampaign:
    """Makes a draft, which is held, active: its first occurrence that is not over waits for the planner."""
    first = first_occurrence(draft, now)
    label = None if first is None else first.replace(tzinfo=UTC)
    await connection.execute(_APPROVE, draft.id, label, None if first is None else due_from(first))
    return msgspec.structs.replace(draft, status="active")
