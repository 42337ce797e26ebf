"""Dry runs of campaigns that are stored."""

from typing import Annotated

import asyncpg
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter, SkipValidation

from schema.forecast import NAMED_MAX, Forecast
from service.clock import Clock
from service.planning.forecast import Forecaster
from service.routes.caller import fit_id
from service.routes.campaigns import find


class ForecastController(Controller):
    """What a campaign would do."""

    path = "/v1/campaigns/{campaign_id:str}/forecast"
    tags = ("campaigns",)
    opt = {"scope": "campaigns"}

    @get(status_code=200)
    async def show(
        self,
        campaign_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        forecaster: NamedDependency[SkipValidation[Forecaster]],
        user_id: Annotated[list[str] | None, QueryParameter(max_items=NAMED_MAX)] = None,
    ) -> Forecast:
        """Whom the campaign would reach if its next occurrence were planned now, when, and why not the others; writes nothing.

        Of people named by `user_id` (several times, up to 20) it tells what would become of each; of no names a few of the audience are shown.
        """
        async with pool.acquire() as connection:
            stored = await find(connection, campaign_id)
        names = [fit_id("query:user_id", name) for name in user_id or ()]
        return await forecaster.of_stored(stored, await clock.now(), names)
