"""The switch that stops all sending."""

from typing import Any

import asyncpg
from litestar import Controller, Request, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from push import stop
from schema.sending import Sending, SendingSwitch
from service.clock import Clock
from service.errors import ApiError
from service.guards import APPROVE
from service.routes.caller import principal_of, recorded_as


class SendingController(Controller):
    """Everything that leaves, or nothing."""

    path = "/v1/sending"
    tags = ("campaigns",)
    opt = {"scope": "campaigns"}

    @get(status_code=200)
    async def show(self, pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> Sending:
        """Whether sending is stopped, why, by whom, and how many pushes are on their way."""
        async with pool.acquire() as connection:
            return await stop.read(connection)

    @put(status_code=200)
    async def switch(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[SendingSwitch],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Sending:
        """Stops all sending on every node, or lets it go on, which takes a key with the scope campaigns:approve.

        After the answer nothing is planned, drawn or claimed; what is on its way (`being_sent`) cannot be called back. It holds until somebody
        lets sending go on, over restarts too. What is still alive then is sent.
        """
        if not data.is_stopped and not principal_of(request).may(APPROVE):
            raise ApiError(403, "forbidden", f"To let sending go on takes the scope {APPROVE}; to stop it does not.")
        now, by = await clock.now(), recorded_as(request)
        async with pool.acquire() as connection, connection.transaction():
            await stop.switch(connection, data, now, by)
            return await stop.read(connection)
