"""Endpoints of webhooks: made, listed, changed, given another secret, deleted. For admins only."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
import msgspec
from litestar import Controller, Request, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from push.channels.webhooks import endpoints
from push.channels.webhooks.address import Refused, check_url
from push.channels.webhooks.endpoints import Endpoint
from push.sealing import about_webhook
from schema.external_id import DOTS
from schema.problem import FieldError
from schema.webhook import NewWebhook, Webhook, WebhookPage, WebhookPatch
from service.clock import Clock
from service.encryption import Encryption
from service.errors import ApiError, invalid_field
from service.routes.acting import act_once
from service.routes.audit import acting
from service.routes.caller import recorded_as
from service.routes.sealed import seal
from service.settings import Settings
from service.store import audit

_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class WebhookController(Controller):
    """Where the channel `webhook` posts decisions to, signed by the Standard Webhooks specification (docs/channels.md)."""

    path = "/v1/webhooks"
    tags = ("webhooks",)
    opt = {"scope": "admin"}

    @post(status_code=201)
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[NewWebhook],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        settings: NamedDependency[SkipValidation[Settings]],
        encryption: NamedDependency[SkipValidation[Encryption]],
    ) -> Response[Webhook]:
        """Makes an endpoint and shows its secret, once: a replay for the same Idempotency-Key answers without it."""
        if data.webhook_id in DOTS:
            raise invalid_field("/webhook_id", "Dots alone cannot stand at the end of a path.")
        _check_url(data.url, settings)
        now, secret = await clock.now(), endpoints.new_secret()
        by, sealed = recorded_as(request), seal(encryption, secret, about_webhook(data.webhook_id))

        async def effect(connection: Any) -> Webhook:
            await audit.speak(connection, by)
            if not await endpoints.make(connection, data.webhook_id, data.url, sealed, now, by):
                raise _taken()
            return _shown(await endpoints.read(connection, data.webhook_id), now, secret)

        return await act_once(request, pool, now, effect, status=201, kept_as=_without_secret)

    @get(status_code=200)
    async def show_all(
        self,
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        cursor: FromQuery[str | None] = None,
    ) -> WebhookPage:
        """One page of all endpoints, without their secrets."""
        if cursor is not None and not _KEY.fullmatch(cursor):
            raise invalid_field("query:cursor", "Take the cursor from next_cursor of the page before.")
        now = await clock.now()
        async with pool.acquire() as connection:
            found = await endpoints.page(connection, cursor or "", limit + 1)
        has_more = len(found) > limit
        shown = [_shown(one, now) for one in found[:limit]]
        return WebhookPage(data=shown, next_cursor=shown[-1].webhook_id if has_more else None, has_more=has_more)

    @get("/{webhook_id:str}", status_code=200)
    async def show(
        self,
        webhook_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Webhook:
        """One endpoint, and whether it rests after failures."""
        now = await clock.now()
        async with pool.acquire() as connection:
            return _shown(await endpoints.read(connection, _fit(webhook_id)), now)

    @patch("/{webhook_id:str}", status_code=200)
    async def change(
        self,
        request: Request[Any, Any, Any],
        webhook_id: FromPath[str],
        data: JSONBody[WebhookPatch],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        settings: NamedDependency[SkipValidation[Settings]],
    ) -> Webhook:
        """Moves it, pauses it, or lets it go on; what waits for it is sent then, if it still lives."""
        if data.url is not None:
            _check_url(data.url, settings)
        now = await clock.now()
        async with acting(request, pool) as connection:
            return _shown(await endpoints.change(connection, _fit(webhook_id), data.url, is_paused=data.is_paused), now)

    @post("/{webhook_id:str}/secret", status_code=200)
    async def rotate(
        self,
        request: Request[Any, Any, Any],
        webhook_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        encryption: NamedDependency[SkipValidation[Encryption]],
    ) -> Response[Webhook]:
        """Makes another secret and shows it, once; for a day what is sent is signed by both."""
        now, secret = await clock.now(), endpoints.new_secret()
        sealed = seal(encryption, secret, about_webhook(_fit(webhook_id)))

        async def effect(connection: Any) -> Webhook:
            await audit.speak(connection, recorded_as(request))
            return _shown(await endpoints.rotate(connection, webhook_id, sealed, now), now, secret)

        return await act_once(request, pool, now, effect, status=200, kept_as=_without_secret)

    @delete("/{webhook_id:str}", status_code=204)
    async def remove(
        self,
        request: Request[Any, Any, Any],
        webhook_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> None:
        """Deletes an endpoint; what waits for it is withdrawn."""
        now = await clock.now()
        async with acting(request, pool) as connection:
            if not await endpoints.delete(connection, _fit(webhook_id), now):
                raise _missing()


def _check_url(url: str, settings: Settings) -> None:
    try:
        check_url(url, may_be_local=settings.webhooks_may_be_local)
    except Refused as error:
        raise invalid_field("/url", str(error)) from None


def _fit(webhook_id: str) -> str:
    if not _KEY.fullmatch(webhook_id):
        raise _missing()
    return webhook_id


def _shown(endpoint: Endpoint | None, now: datetime, secret: str | None = None) -> Webhook:
    if endpoint is None:
        raise _missing()
    resting = endpoint.rests_until
    return Webhook(
        webhook_id=endpoint.webhook_id,
        url=endpoint.url,
        created_at=endpoint.created_at,
        created_by=endpoint.created_by,
        is_paused=endpoint.is_paused,
        failures=endpoint.failures,
        rests_until=resting if resting is not None and resting > now else None,
        secret=secret,
    )


def _without_secret(webhook: Webhook) -> Webhook:
    return msgspec.structs.replace(webhook, secret=None)


def _missing() -> ApiError:
    return ApiError(404, "not_found", "There is no such webhook.")


def _taken() -> ApiError:
    detail = "A webhook with this webhook_id exists; take another."
    return ApiError(409, "conflict", detail, [FieldError(pointer="/webhook_id", code="conflict", detail=detail)])
