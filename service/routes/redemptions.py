"""Redemptions: told by the till, shown, and rolled back."""

import os
from typing import Any
from uuid import UUID

import asyncpg
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from schema.redemption import NewRedemption, Redemption
from service.clock import Clock
from service.errors import ApiError
from service.ingest import till
from service.ingest.till import Wish
from service.ingest.triggers import Triggers
from service.routes.acting import act_once
from service.routes.caller import speaker_of
from service.store import redemptions
from service.store.catalogue import CatalogueCache


class RedemptionController(Controller):
    """What the till gives away: never more than there is (docs/redemptions.md)."""

    path = "/v1/redemptions"
    tags = ("redemptions",)
    opt = {"scope": "ingest"}

    @post(status_code=201)
    async def redeem(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[NewRedemption],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
        triggers: NamedDependency[SkipValidation[Triggers]],
    ) -> Response[Redemption]:
        """Redeems a reservation, or an offer by its offer_id or code and the person; 409 with the reason when it is refused.

        The answer leaves when the redemption is durable. Send an Idempotency-Key, and the same request again until it is answered.
        """
        now = await clock.now()
        is_named = data.user_id is not None or data.anonymous_id is not None
        speaker = speaker_of(request, data.user_id, data.anonymous_id) if is_named else None
        wish = Wish(data, speaker, os.urandom(10), now, triggers.react)

        async def effect(connection: Any) -> Redemption:
            made = await till.redeem(connection, wish, await catalogue.refresh(connection))
            return await _shown(connection, made)

        return await act_once(request, pool, now, effect, status=201)

    @get("/{redemption_id:uuid}", status_code=200)
    async def show(
        self, redemption_id: FromPath[UUID], pool: NamedDependency[SkipValidation[asyncpg.Pool]]
    ) -> Redemption:
        """One redemption."""
        async with pool.acquire() as connection:
            return await _shown(connection, redemption_id)

    @post("/{redemption_id:uuid}/rollback", status_code=200)
    async def roll_back(
        self,
        request: Request[Any, Any, Any],
        redemption_id: FromPath[UUID],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[Redemption]:
        """Takes a redemption back, as when goods are returned; a reservation that has not run out is open again."""
        now = await clock.now()

        async def effect(connection: Any) -> Redemption:
            await till.roll_back(connection, redemption_id, now)
            return await _shown(connection, redemption_id)

        return await act_once(request, pool, now, effect, status=200)


async def _shown(connection: Any, redemption_id: UUID) -> Redemption:
    found = await redemptions.show(connection, redemption_id)
    if found is None:
        raise ApiError(404, "not_found", "There is no such redemption.")
    return found
