"""One campaign: shown; as a draft changed, deleted, approved by somebody else; and what was done to it by whom."""

from typing import Annotated, Any, Final

import asyncpg
import msgspec
from litestar import Controller, Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from push.campaign import campaign_log, drafts
from schema.campaign import Campaign, CampaignChanges, StoredCampaign
from service.clock import Clock
from service.errors import ApiError, invalid_field
from service.guards import APPROVE
from service.planning import campaign_rules
from service.routes.acting import act_once
from service.routes.caller import recorded_as
from service.routes.campaigns import check, check_channels, find
from service.settings import Settings
from service.store.catalogue import CatalogueCache

_NEWEST: Final = 2**62


class DraftController(Controller):
    """One campaign, launched or not."""

    path = "/v1/campaigns/{campaign_id:str}"
    tags = ("campaigns",)
    opt = {"scope": "campaigns"}

    @get(status_code=200)
    async def show(
        self, campaign_id: FromPath[str], pool: NamedDependency[SkipValidation[asyncpg.Pool]]
    ) -> StoredCampaign:
        """One campaign."""
        async with pool.acquire() as connection:
            return await find(connection, campaign_id)

    @put(status_code=200)
    async def replace(
        self,
        request: Request[Any, Any, Any],
        campaign_id: FromPath[str],
        data: JSONBody[Campaign],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        settings: NamedDependency[SkipValidation[Settings]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
    ) -> StoredCampaign:
        """Replaces a draft; 409 once it is approved. Whoever changes it last cannot approve it."""
        if data.campaign_id != campaign_id:
            raise invalid_field("/campaign_id", "A draft keeps its campaign_id, the one in the path.")
        check_channels(data, settings)
        now = await clock.now()
        async with pool.acquire() as connection, connection.transaction():
            draft = await _held(connection, campaign_id)
            await check(connection, data, await catalogue.refresh(connection), now)
            changed = msgspec.structs.replace(draft, campaign=campaign_rules.spelled(data))
            await drafts.replace(connection, changed)
            await campaign_log.note(connection, changed, "changed", now, recorded_as(request))
        return changed

    @delete(status_code=204)
    async def remove(
        self,
        request: Request[Any, Any, Any],
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> None:
        """Deletes a draft; 409 once it is approved."""
        now = await clock.now()
        async with pool.acquire() as connection, connection.transaction():
            draft = await _held(connection, campaign_id)
            await drafts.delete(connection, draft)
            await campaign_log.note(connection, draft, "deleted", now, recorded_as(request))

    @post("/approve", status_code=200, opt={"scope": APPROVE})
    async def approve(
        self,
        request: Request[Any, Any, Any],
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        settings: NamedDependency[SkipValidation[Settings]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
        change: Annotated[int | None, QueryParameter(ge=1)] = None,
    ) -> Response[StoredCampaign]:
        """Launches a draft. 403 by the key that made it or changed it last; 422 when it would have nothing to send by now.

        With `change`, the number of the change that was looked at (`GET …/changes`), 409 if it was changed since.
        """
        now, by = await clock.now(), recorded_as(request)

        async def effect(connection: Any) -> StoredCampaign:
            stored = await find(connection, campaign_id)
            if stored.status in {"active", "paused"}:
                return stored
            draft = await _held(connection, campaign_id)
            _check_author(await campaign_log.author(connection, draft.id), by, change)
            check_channels(draft.campaign, settings)
            await check(connection, draft.campaign, await catalogue.refresh(connection), now)
            approved = await drafts.approve(connection, draft, now)
            await campaign_log.note(connection, approved, "approved", now, by)
            return approved

        return await act_once(request, pool, now, effect, status=200)

    @get("/changes", status_code=200)
    async def changes(
        self,
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        cursor: FromQuery[str | None] = None,
    ) -> CampaignChanges:
        """One page of what was done to the campaign, the newest first: by whom it was made, changed, approved, paused, resumed and ended."""
        if cursor is not None and not (cursor.isdecimal() and cursor.isascii() and len(cursor) < 19):
            raise invalid_field("query:cursor", "Take the cursor from next_cursor of the page before.")
        async with pool.acquire() as connection:
            stored = await find(connection, campaign_id)
            before = int(cursor) if cursor else _NEWEST
            found = await campaign_log.page(connection, stored.id, before, limit + 1)
        has_more = len(found) > limit
        shown = found[:limit]
        return CampaignChanges(data=shown, next_cursor=str(shown[-1].change) if has_more else None, has_more=has_more)


async def _held(connection: Any, campaign_id: str) -> StoredCampaign:
    """The draft of this name, held. Raises ApiError 404, or 409 when it is none."""
    stored = await find(connection, campaign_id)
    if not await drafts.hold(connection, stored):
        raise ApiError(409, "conflict", "This campaign is not a draft any more: end it and make another one.")
    # As it is now that nobody else can change it.
    return await find(connection, campaign_id)


def _check_author(last: tuple[int, str] | None, by: str, looked_at: int | None) -> None:
    if last is None:
        return
    change, author = last
    if author == by:
        raise ApiError(403, "forbidden", "Another key than the one that made or last changed the campaign approves it.")
    if looked_at is not None and looked_at != change:
        raise ApiError(409, "conflict", f"The campaign was changed since: the newest is change {change}.")
