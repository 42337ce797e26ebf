"""Campaigns: made, listed, paused, resumed, ended."""

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import asyncpg
import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from push import outbox
from push.campaign import campaign_log, campaigns
from push.campaign.occurrences import due_from, first_occurrence
from push.channels import deliveries
from push.channels.webhooks import endpoints
from schema.allowance import ShownAllowance
from schema.base import Kept
from schema.campaign import Campaign, CampaignOutcomes, StoredCampaign, What
from schema.forecast import Forecast
from schema.ids import stable_entropy, uuid7
from schema.problem import FieldError
from service.clock import Clock
from service.decision import prices
from service.errors import ApiError, invalid_field
from service.planning import campaign_rules
from service.planning.forecast import Forecaster
from service.routes.acting import act_once
from service.routes.caller import recorded_as
from service.settings import Settings
from service.store import allowances
from service.store.catalogue import Catalogue, CatalogueCache

_TURNS: Final[dict[str, What]] = {"paused": "paused", "active": "resumed", "ended": "ended"}
_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class CampaignPage(Kept, frozen=True):
    """A page of GET /v1/campaigns by campaign_id; `next_cursor` leads to the next one and is null on the last."""

    data: list[StoredCampaign]
    next_cursor: str | None
    has_more: bool


class CampaignController(Controller):
    """Campaigns send people offers at moments of their own."""

    path = "/v1/campaigns"
    tags = ("campaigns",)
    opt = {"scope": "campaigns"}

    @get(status_code=200)
    async def show_all(
        self,
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        cursor: FromQuery[str | None] = None,
    ) -> CampaignPage:
        """One page of all campaigns, ended ones too."""
        if cursor is not None and not _KEY.fullmatch(cursor):
            raise invalid_field("query:cursor", "Take the cursor from next_cursor of the page before.")
        async with pool.acquire() as connection:
            found = await campaigns.page(connection, cursor or "", limit + 1)
        has_more = len(found) > limit
        shown = found[:limit]
        return CampaignPage(
            data=shown, next_cursor=shown[-1].campaign.campaign_id if has_more else None, has_more=has_more
        )

    @get("/{campaign_id:str}/outcomes", status_code=200)
    async def outcomes(
        self, campaign_id: FromPath[str], pool: NamedDependency[SkipValidation[asyncpg.Pool]]
    ) -> CampaignOutcomes:
        """How the campaign's pushes stand, and why some were not sent."""
        async with pool.acquire() as connection:
            stored = await find(connection, campaign_id)
            found = await outbox.outcomes(connection, stored.id)
            planning = await campaigns.planning(connection, stored.id)
            told = await deliveries.outcomes(connection, stored.id)
        return msgspec.structs.replace(found, deliveries=told, planning=planning)

    @get("/{campaign_id:str}/allowance", status_code=200)
    async def allowance(
        self,
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> ShownAllowance:
        """How much of the campaign's budget is promised, spent, and left; of a campaign without one nothing is counted."""
        now = await clock.now()
        async with pool.acquire() as connection:
            stored = await find(connection, campaign_id)
            found = await allowances.read(connection, [stored.id])
        return prices.shown(found.get(stored.id, allowances.NONE), now)

    @post(
        status_code=201,
        responses={
            200: ResponseSpec(Forecast, generate_examples=False, description="What it would do; nothing is made.")
        },
    )
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[Campaign],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        settings: NamedDependency[SkipValidation[Settings]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
        forecaster: NamedDependency[SkipValidation[Forecaster]],
        dry_run: FromQuery[bool] = False,
        draft: FromQuery[bool] = False,
    ) -> Response[StoredCampaign]:
        """Makes a campaign, or with dry_run only says what it would do (200).

        With `draft`, or always where the installation requires approval, it plans nothing until another key approves it.
        409 when its campaign_id is taken, 422 when it would have nothing of value to send.
        """
        check_channels(data, settings)
        now = await clock.now()
        entropy = stable_entropy(settings.seed.encode(), b"campaign", data.campaign_id.encode())
        status: Literal["draft", "active"] = "draft" if draft or settings.requires_approval else "active"
        made = StoredCampaign(id=uuid7(now, entropy), status=status, campaign=campaign_rules.spelled(data))

        async def effect(connection: Any) -> StoredCampaign:
            await check(connection, data, await catalogue.refresh(connection), now)
            first = first_occurrence(made, now) if status == "active" else None
            if not await campaigns.create(connection, made, now, first, due_from(first) if first else None):
                raise _taken()
            await campaign_log.note(connection, made, "made", now, recorded_as(request))
            return made

        if dry_run:
            async with pool.acquire() as connection:
                await check(connection, data, await catalogue.refresh(connection), now)
                if await campaigns.read(connection, data.campaign_id) is not None:
                    raise _taken()
            return Response(await forecaster.of_new(made, now), status_code=200)  # type: ignore[arg-type] # told by `responses`
        return await act_once(request, pool, now, effect, status=201)

    @post("/{campaign_id:str}/pause", status_code=200)
    async def pause(
        self,
        request: Request[Any, Any, Any],
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[StoredCampaign]:
        """Plans and sends nothing until it is resumed; what runs out meanwhile is not sent later."""
        return await _turn(request, campaign_id, pool, clock, "paused")

    @post("/{campaign_id:str}/resume", status_code=200)
    async def resume(
        self,
        request: Request[Any, Any, Any],
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[StoredCampaign]:
        """Goes on after a pause, also after one that a refused message caused."""
        return await _turn(request, campaign_id, pool, clock, "active")

    @post("/{campaign_id:str}/end", status_code=200)
    async def end(
        self,
        request: Request[Any, Any, Any],
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[StoredCampaign]:
        """Ends a campaign for good; what it has planned is withdrawn."""
        return await _turn(request, campaign_id, pool, clock, "ended")


async def _turn(
    request: Request[Any, Any, Any], campaign_id: str, pool: asyncpg.Pool, clock: Clock, status: str
) -> Response[StoredCampaign]:
    now = await clock.now()

    async def effect(connection: Any) -> StoredCampaign:
        before = await find(connection, campaign_id)
        changed = await campaigns.set_status(connection, campaign_id, status, now)
        if changed is None and status != "ended":
            is_draft = before.status == "draft"
            detail = (
                "The campaign is a draft: it begins when it is approved." if is_draft else "The campaign has ended."
            )
            raise ApiError(409, "conflict", detail)
        if changed is not None and changed.status != before.status:
            await campaign_log.note(connection, changed, _TURNS[status], now, recorded_as(request))
        return changed or before

    return await act_once(request, pool, now, effect, status=200)


async def find(connection: Any, campaign_id: str) -> StoredCampaign:
    """The campaign of this name. Raises ApiError 404."""
    found = await campaigns.read(connection, campaign_id) if _KEY.fullmatch(campaign_id) else None
    if found is None:
        raise _missing()
    return found


def check_channels(campaign: Campaign, settings: Settings) -> None:
    """Raises ApiError 400 for a channel that this installation has not."""
    if "email" in campaign.channels and settings.smtp_url is None:
        raise invalid_field("/channels", "This installation sends no e-mail: set WELLTIMED_SMTP_URL.")


async def check(connection: Any, campaign: Campaign, catalogue: Catalogue, now: datetime) -> None:
    """Raises ApiError 400 for fields that are wrong, 422 for a campaign that would have nothing of value to send."""
    # Aside: many templates times many offers take a while.
    errors = await asyncio.to_thread(lambda: list(campaign_rules.problems(campaign, catalogue, now)))
    if errors:
        raise ApiError(400, "invalid_field", "The campaign breaks some rules; see errors.", errors)
    refused = campaign_rules.refusal(campaign, catalogue, now)
    if refused is not None:
        code, detail = refused
        raise ApiError(422, code, detail, [FieldError(pointer="/offers", code=code, detail=detail)])
    await _check_webhooks(connection, campaign)


async def _check_webhooks(connection: Any, campaign: Campaign) -> None:
    if "webhook" not in campaign.channels:
        if campaign.webhooks:
            raise invalid_field("/webhooks", "The campaign does not name the channel webhook.")
        return
    known = await endpoints.names(connection)
    if not known:
        raise invalid_field("/channels", "There is no webhook yet: an admin makes one by POST /v1/webhooks.")
    errors = [
        FieldError(
            pointer=f"/webhooks/{place}", code="invalid_field", detail="There is no webhook with this webhook_id."
        )
        for place, name in enumerate(campaign.webhooks)
        if name not in known
    ]
    if errors:
        raise ApiError(400, "invalid_field", "Some webhooks are not known; see errors.", errors)


def _missing() -> ApiError:
    return ApiError(404, "not_found", "There is no such campaign.")


def _taken() -> ApiError:
    detail = "A campaign with this campaign_id exists; take another."
    return ApiError(409, "conflict", detail, [FieldError(pointer="/campaign_id", code="conflict", detail=detail)])
