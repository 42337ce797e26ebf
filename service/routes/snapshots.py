"""Snapshots: listed, and decisions held to one of them."""

from typing import Annotated, Any

import asyncpg
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter, SkipValidation

from schema.policy import ReasonGiven
from schema.snapshot_pin import Snapshots
from service.clock import Clock
from service.policies import pinning
from service.routes.acting import act_once
from service.routes.caller import recorded_as
from service.store import snapshot_pins


class SnapshotController(Controller):
    """What was learned, version by version."""

    path = "/v1/snapshots"
    tags = ("policies",)
    opt = {"scope": "admin"}

    @get(status_code=200, opt={"scope": "reports"})
    async def show_all(
        self,
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        before: Annotated[int | None, QueryParameter(ge=1, le=2**62)] = None,
    ) -> Snapshots:
        """The newest snapshots (below the version `before`), and which one decisions use."""
        async with pool.acquire() as connection:
            return await snapshot_pins.overview(connection, limit, before)

    @post("/{version:int}/pin", status_code=200)
    async def pin(
        self,
        request: Request[Any, Any, Any],
        version: FromPath[int],
        data: JSONBody[ReasonGiven],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[Snapshots]:
        """Holds decisions to this snapshot; the learner goes on counting and publishing."""
        now, by = await clock.now(), recorded_as(request)

        async def effect(connection: Any) -> Snapshots:
            return await pinning.pin(connection, version, data.reason, now, by)

        return await act_once(request, pool, now, effect, status=200)

    @post("/unpin", status_code=200)
    async def unpin(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[ReasonGiven],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[Snapshots]:
        """Lets decisions use the newest snapshot again."""
        now, by = await clock.now(), recorded_as(request)

        async def effect(connection: Any) -> Snapshots:
            return await pinning.unpin(connection, data.reason, now, by)

        return await act_once(request, pool, now, effect, status=200)
