"""The clock of a virtual world: one row that the demo's driver advances and everyone reads."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import asyncpg

LOST_NOTICE_S: Final = 0.5
"""A lost notification costs this much, not the run."""

CHANNEL: Final = "virtual_clock"
SETTLED_CHANNEL: Final = "virtual_clock_settled"

# A virtual instant need not survive a crash of the machine: its commits do not wait for the disk.
_NOW: Final = "select now_at from virtual_clock"
_READ: Final = "select now_at, settled_at from virtual_clock"
_START: Final = """
    insert into virtual_clock (now_at, settled_at) values ($1, $1) on conflict (singleton) do nothing
"""
_ADVANCE: Final = """
    with moved as (update virtual_clock set now_at = $1 where now_at <= $1 returning now_at)
    select pg_notify('virtual_clock', ''), now_at, set_config('synchronous_commit', 'off', true) from moved
"""
_SETTLE: Final = """
    with done as (update virtual_clock set settled_at = $1 where settled_at < $1 returning 1)
    select pg_notify('virtual_clock_settled', ''), set_config('synchronous_commit', 'off', true) from done
"""


class VirtualClock:
    """Reads the row at every call, so that no process can be behind."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def now(self) -> datetime:
        """The virtual present; before the driver has set one, the error says so."""
        now = await self._pool.fetchval(_NOW)
        if now is None:
            raise RuntimeError("the virtual clock has not been set; POST /v1/clock first")
        return now  # type: ignore[no-any-return] # asyncpg is untyped


async def start(connection: Any, at: datetime) -> None:
    """Sets the clock unless it has been set."""
    await connection.execute(_START, at)


async def advance(connection: Any, to: datetime) -> bool:
    """Moves the clock forward and wakes the worker; False when that would move it back."""
    return await connection.fetchrow(_ADVANCE, to) is not None


async def read(connection: Any) -> tuple[datetime, datetime] | None:
    """The present, and the instant up to which the worker has done all there was to do."""
    row = await connection.fetchrow(_READ)
    return (row[0], row[1]) if row else None


async def settle(connection: Any, at: datetime) -> None:
    """The worker says that everything due by `at` is done."""
    await connection.execute(_SETTLE, at)


class SettledWaiter:
    """Waits for the worker on a connection of its own that listens."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._event = asyncio.Event()

    async def open(self) -> None:
        """Begins to listen."""
        await self._connection.add_listener(SETTLED_CHANNEL, lambda *_: self._event.set())

    async def wait(self, at: datetime, timeout_s: float) -> None:
        """Returns when everything due by `at` is done.

        Raises:
            TimeoutError: it was not done within timeout_s.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                self._event.clear()
                state = await read(self._connection)
                if state is not None and state[1] >= at:
                    return
                try:
                    await asyncio.wait_for(self._event.wait(), LOST_NOTICE_S)
                except TimeoutError:
                    continue


async def follow(dsn: str, do_all: Callable[[datetime], Awaitable[None]], stop: asyncio.Event) -> None:
    """The worker's side: whenever the clock has moved, does all that is due by then and says so, until `stop` is set."""
    connection = await asyncpg.connect(dsn)
    moved = asyncio.Event()
    try:
        await connection.add_listener(CHANNEL, lambda *_: moved.set())
        while not stop.is_set():
            moved.clear()
            state = await read(connection)
            if state is not None and state[1] < state[0]:
                await do_all(state[0])
                await settle(connection, state[0])
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), LOST_NOTICE_S)
    finally:
        await connection.close()
