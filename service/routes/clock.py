"""The hand on the clock of a virtual world (`serve --virtual-clock`; demo and tests only)."""

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
    """The body of POST /v1/clock: the new present, and how long to wait until the worker has done all that is due by it."""

    now: Annotated[datetime, Meta(tz=True)]
    wait_s: Annotated[float, Meta(ge=0, le=300)] = 30.0


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
        try:
            state = await hand.move(data.now, data.wait_s)
        except TimeoutError:
            detail = f"The worker had not done all that was due within {data.wait_s:g} s; the clock has moved."
            raise ApiError(503, "unavailable", detail, retry_after_s=1) from None
        if state is None:
            raise ApiError(409, "conflict", "The clock cannot be moved back.")
        return _shown(state)


def _shown(state: virtual_clock.ClockState) -> ClockState:
    return ClockState(now=state.now_at, settled_at=state.settled_at)
