"""What time it is, as push asks for it: once a batch, since the last batch of a long backlog leaves long after the first."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime

Now = Callable[[], Awaitable[datetime]]
"""Gives the present as an aware datetime."""


def standing(at: datetime) -> Now:
    """A clock that stands at one instant, as in a virtual world."""

    async def now() -> datetime:
        return at

    return now


def goes_on(stop: asyncio.Event | None) -> bool:
    """Whether another batch may be begun."""
    return stop is None or not stop.is_set()


async def pause(seconds: float, ends: asyncio.Event | None) -> None:
    """Until the time has passed, or there is no use in waiting."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for((ends or asyncio.Event()).wait(), seconds)
