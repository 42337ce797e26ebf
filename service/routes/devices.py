"""The devices push goes to."""

from typing import Any

import asyncpg
from litestar import Controller, Request, delete, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, SkipValidation

from schema.user import Acknowledgement, Device
from service.clock import Clock
from service.errors import ApiError
from service.guards import NAMED_IN_QUERY
from service.routes.caller import check_zone, fit_id, person_of
from service.store import devices


class DeviceController(Controller):
    """Registers and forgets devices."""

    path = "/v1/devices/{device_id:str}"
    tags = ("devices",)
    opt = {"scope": "sdk", "sk_scope": "users"}

    @put(status_code=200)
    async def register(
        self,
        request: Request[Any, Any, Any],
        device_id: FromPath[str],
        data: JSONBody[Device],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Acknowledgement:
        """Registers a device with its push token, which is taken from whoever had it before."""
        check_zone(data.time_zone)
        person = person_of(request, data.user_id)
        async with pool.acquire() as connection:
            watermark = await devices.put(
                connection, person, fit_id("path:device_id", device_id), data, await clock.now()
            )
        return Acknowledgement(applied=True, feedback_applied_through=watermark)

    @delete(status_code=204)
    async def forget(
        self,
        request: Request[Any, Any, Any],
        device_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        user_id: FromQuery[str | None] = None,
    ) -> None:
        """Forgets a device; with a user token user_id need not be named."""
        named = None if user_id is None else fit_id("query:user_id", user_id)
        person = person_of(request, named, NAMED_IN_QUERY)
        async with pool.acquire() as connection:
            if not await devices.delete(connection, person, fit_id("path:device_id", device_id), await clock.now()):
                raise ApiError(404, "not_found", "This user has no such device.")
