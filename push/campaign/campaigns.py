"""Campaigns and their occurrences in PostgreSQL. Whoever locks a campaign and other rows locks the campaign first."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from push.outbox import Key
from push.release import release
from schema.campaign import Campaign, Planning, StoredCampaign

_INSERT: Final = """
    with made as (
        insert into campaigns (campaign_id, external_id, body, status, created_at, next_occurrence_at, plan_at)
        values ($1, $2, $3, $9, $4, $5, $6) on conflict (external_id) do nothing returning campaign_id
    ), allowed as (
        insert into allowances (holder, budget_minor, ends_at)
        select campaign_id, $7::bigint, $8 from made where $7::bigint is not null
    )
    select campaign_id from made
"""
_ONE: Final = "select campaign_id, status, body from campaigns where external_id = $1"
_MANY: Final = "select campaign_id, status, body from campaigns where campaign_id = any($1::uuid[])"
_NEXT: Final = "select next_occurrence_at from campaigns where campaign_id = $1"
_LIST: Final = "select campaign_id, status, body from campaigns where external_id > $1 order by external_id limit $2"
_STATUS: Final = """
    update campaigns set status = $2 where external_id = $1 and status <> 'ended' and (status <> 'draft' or $2 = 'ended')
    returning campaign_id, status, body
"""
_PAUSE: Final = """
    with paused as (
        update campaigns set status = 'paused' where campaign_id = any($1::uuid[]) and status = 'active' returning campaign_id, external_id
    )
    insert into campaign_changes (campaign_id, external_id, what, changed_at, changed_by)
    select campaign_id, external_id, 'paused', $2, 'dispatcher' from paused returning external_id
"""
# Two statements, so that each can use the index of its state.
_WITHDRAW_PLANNED: Final = """
    update outbox set state = 6, outcome = 'campaign_ended', settled_at = $2 where campaign_id = $1 and state = 0
"""
_WITHDRAW_READY: Final = """
    update outbox set state = case when unknowns > 0 then 7 else 6 end, outcome = 'campaign_ended', settled_at = $2
     where campaign_id = $1 and state = 1
    returning user_id, campaign_id, occurrence_at, unknowns
"""
_DUE: Final = """
    select campaign_id, status, body, next_occurrence_at from campaigns
     where status = 'active' and next_occurrence_at is not null and plan_at <= $1
       and not exists (select 1 from sending_stop s where not (s.spares_transactional and body ->> 'kind' = 'transactional'))
     order by plan_at, campaign_id
"""
_HOLD: Final = """
    select 1 from campaigns
     where campaign_id = $1 and status = 'active'
       and not exists (select 1 from sending_stop s where not (s.spares_transactional and body ->> 'kind' = 'transactional'))
       for share
"""
_IS_ACTIVE: Final = """
    select status = 'active'
       and not exists (select 1 from sending_stop s where not (s.spares_transactional and body ->> 'kind' = 'transactional'))
      from campaigns where campaign_id = $1
"""
_BEGIN: Final = """
    insert into occurrences (campaign_id, occurrence_at, planned_through, is_planned) values ($1, $2, 0, false)
    on conflict (campaign_id, occurrence_at) do update set is_planned = occurrences.is_planned
    returning case when is_planned then null else planned_through end
"""
_THROUGH: Final = """
    update occurrences set planned_through = $4
     where campaign_id = $1 and occurrence_at = $2 and planned_through = $3 and not is_planned returning 1
"""
_OBSTACLE: Final = """
    update occurrences set obstacle = $3
     where campaign_id = $1 and occurrence_at = $2 and obstacle is distinct from $3 returning 1
"""
_PLANNING: Final = """
    select occurrence_at, is_planned, obstacle,
           planned_through::float8 / greatest((select max(user_id) from users), planned_through, 1) as share
      from occurrences where campaign_id = $1 order by occurrence_at desc limit 1
"""
_LATER: Final = "update campaigns set plan_at = $3 where campaign_id = $1 and next_occurrence_at = $2"
_FINISH: Final = "update occurrences set is_planned = true where campaign_id = $1 and occurrence_at = $2"
_ADVANCE: Final = """
    update campaigns set next_occurrence_at = $3, plan_at = $4 where campaign_id = $1 and next_occurrence_at = $2
"""

_CAMPAIGNS_MAX: Final = 1_000


def _label(local: datetime | None) -> datetime | None:
    """A naive local time as it is stored: its digits, said to be UTC."""
    return None if local is None else local.replace(tzinfo=UTC)


def _stored(row: Any) -> StoredCampaign:
    return StoredCampaign(id=row["campaign_id"], status=row["status"], campaign=msgspec.convert(row["body"], Campaign))


async def create(
    connection: Any, stored: StoredCampaign, now: datetime, first: datetime | None, plan_at: datetime | None
) -> bool:
    """Stores a new campaign whose first occurrence begins at the local time `first`; False when its name is taken."""
    name, body = stored.campaign.campaign_id, msgspec.to_builtins(stored.campaign)
    ends_at = _label(stored.campaign.ends_at)
    given = (stored.id, name, body, now, _label(first), plan_at, stored.campaign.budget_minor, ends_at, stored.status)
    return await connection.fetchval(_INSERT, *given) is not None


async def read(connection: Any, external_id: str) -> StoredCampaign | None:
    """One campaign by the name the operator gave it."""
    row = await connection.fetchrow(_ONE, external_id)
    return _stored(row) if row else None


async def next_to_plan(connection: Any, campaign_id: UUID) -> datetime | None:
    """The naive local start of the occurrence that is planned next; None when there is none left."""
    at = await connection.fetchval(_NEXT, campaign_id)
    return None if at is None else at.replace(tzinfo=None)


async def page(connection: Any, after: str, limit: int) -> list[StoredCampaign]:
    """Campaigns by name, after the given one."""
    return [_stored(row) for row in await connection.fetch(_LIST, after, limit)]


async def by_ids(connection: Any, ids: Collection[UUID]) -> dict[UUID, StoredCampaign]:
    """Campaigns by our own id."""
    return {row["campaign_id"]: _stored(row) for row in await connection.fetch(_MANY, list(ids))}


async def set_status(connection: Any, external_id: str, status: str, now: datetime) -> StoredCampaign | None:
    """Pauses ('paused'), resumes ('active') or ends ('ended') a campaign; what an ended one has planned is withdrawn.

    None when it has ended before, is a draft (which can only be ended), or is not known.
    """
    async with connection.transaction():
        row = await connection.fetchrow(_STATUS, external_id, status)
        if row is not None and status == "ended":
            await connection.execute(_WITHDRAW_PLANNED, row["campaign_id"], now)
            withdrawn = await connection.fetch(_WITHDRAW_READY, row["campaign_id"], now)
            await release(connection, [Key(*one[:3]) for one in withdrawn if not one[3]])
    return _stored(row) if row else None


async def pause(connection: Any, ids: Collection[UUID], now: datetime) -> list[str]:
    """Pauses those that are active; their names."""
    return [row[0] for row in await connection.fetch(_PAUSE, sorted(ids), now)] if ids else []


async def due(connection: Any, now: datetime) -> list[tuple[StoredCampaign, datetime]]:
    """Campaigns with an occurrence to plan, and its naive local start."""
    rows = await connection.fetch(_DUE, now)
    return [(_stored(row), row["next_occurrence_at"].replace(tzinfo=None)) for row in rows]


async def plan_later(connection: Any, campaign_id: UUID, occurrence: datetime, at: datetime) -> None:
    """The occurrence need not be planned before `at`."""
    await connection.execute(_LATER, campaign_id, _label(occurrence), at)


async def hold_active(connection: Any, campaign_id: UUID) -> bool:
    """Keeps a campaign from being paused or ended until the caller's transaction ends; False when it is already, or all sending is stopped."""
    return await connection.fetchval(_HOLD, campaign_id) is not None


async def is_active(connection: Any, campaign_id: UUID) -> bool:
    """Whether it is neither paused nor ended, and sending is not stopped."""
    return bool(await connection.fetchval(_IS_ACTIVE, campaign_id))


async def begin_occurrence(connection: Any, campaign_id: UUID, occurrence: datetime) -> int | None:
    """The user id after which planning goes on, 0 at first; None when the occurrence has been planned."""
    return await connection.fetchval(_BEGIN, campaign_id, _label(occurrence))  # type: ignore[no-any-return] # asyncpg is untyped


async def planned_through(connection: Any, campaign_id: UUID, occurrence: datetime, after: int, through: int) -> bool:
    """Notes how far planning has come since `after`, in the transaction that writes the rows; False when another planner was quicker."""
    return await connection.fetchval(_THROUGH, campaign_id, _label(occurrence), after, through) is not None


async def note_obstacle(connection: Any, campaign_id: UUID, occurrence: datetime, why: str | None) -> bool:
    """Why the occurrence is not planned; whether that is something new."""
    return await connection.fetchval(_OBSTACLE, campaign_id, _label(occurrence), why) is not None


async def planning(connection: Any, campaign_id: UUID) -> Planning | None:
    """How far the planning of the newest occurrence is; None before the first."""
    row = await connection.fetchrow(_PLANNING, campaign_id)
    if row is None:
        return None
    share = 1.0 if row["is_planned"] else row["share"]
    return Planning(row["occurrence_at"].replace(tzinfo=None), row["is_planned"], share, row["obstacle"])


async def planned(
    connection: Any, campaign_id: UUID, occurrence: datetime, following: datetime | None, plan_at: datetime | None
) -> None:
    """The occurrence is planned; the campaign waits for the following one."""
    async with connection.transaction():
        await connection.execute(_ADVANCE, campaign_id, _label(occurrence), _label(following), plan_at)
        await connection.execute(_FINISH, campaign_id, _label(occurrence))


class CampaignCache:
    """Campaigns as this process read them; but for its status, of which nothing is asked here, a campaign never changes."""

    def __init__(self) -> None:
        self._known: dict[UUID, StoredCampaign] = {}

    async def of(self, connection: Any, ids: Collection[UUID]) -> dict[UUID, StoredCampaign]:
        """Those campaigns, by our own id."""
        missing = [campaign_id for campaign_id in ids if campaign_id not in self._known]
        if missing:
            if len(self._known) > _CAMPAIGNS_MAX:
                self._known = {one: self._known[one] for one in ids if one in self._known}
            self._known |= await by_ids(connection, missing)
        return {one: self._known[one] for one in ids}
