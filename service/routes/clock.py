"""The hand on the clock of a virtual world (`serve --virtual-clock`; demo and tests only)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import asyncpg
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation
from msgspec import Meta

from schema.base import Incoming, Kept
from service.errors import ApiError
from service.routes.bounds import check_present
from service.store import virtual_clock
from service.store.virtual_clock import ClockHand


class ClockMove(Incoming, frozen=True):
    """The body of POST /v1/clock: the new present, and how long to wait until the worker has done all that is due by it.

    With `first_wait_s` the clock moves only when all that is due by the old present is done, and stays if that takes longer.
    """

    now: Annotated[datetime, Meta(tz=True)]
    wait_s: Annotated[float, Meta(ge=0, le=300)] = 30.0
    first_wait_s: Annotated[float, Meta(ge=0, le=300)] = 0.0


class ClockState(Kept, frozen=True):
    """The present, and the instant up to which all that was due is done."""

    now: datetime
    settled_at: datetime


class ClockController(Controller):
    """Reads and moves the virtual clock."""

    path = "/v1/clock"
    tags = ("clock",)
    opt = {"scope": "admin"}

    @get(status_code=200)
    async def show(self, pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> ClockState:
        """The virtual present; 404 before it is first set."""
        state = await virtual_clock.read(pool)
        if state is None:
            raise ApiError(404, "not_found", "The virtual clock has not been set.")
        return _shown(state)

    @post(status_code=200)
    async def move(self, data: JSONBody[ClockMove], hand: NamedDependency[SkipValidation[ClockHand]]) -> ClockState:
        """Sets the clock, then only moves it forward, and waits for the worker; with wait_s 0 it does not wait."""
        check_present(data.now)
        if data.first_wait_s:
            async with _in_time(data.first_wait_s, "has not moved"):
                await hand.be_settled(data.first_wait_s)
        async with _in_time(data.wait_s, "has moved"):
            state = await hand.move(data.now, data.wait_s)
        if state is None:
            raise ApiError(409, "conflict", "The clock cannot be moved back.")
        return _shown(state)


@asynccontextmanager
async def _in_time(wait_s: float, and_the_clock: str) -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError:
        detail = f"The worker had not done all that was due within {wait_s:g} s; the clock {and_the_clock}."
        raise ApiError(503, "unavailable", detail, retry_after_s=1) from None


def _shown(state: virtual_clock.ClockState) -> ClockState:
    return ClockState(now=state.now_at, settled_at=state.settled_at)
