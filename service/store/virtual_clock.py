"""The clock of a virtual world: one row that the demo's driver advances and everyone reads."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import asyncpg

from push.clock import pause

LOST_NOTICE_S: Final = 0.5
"""A lost notification costs this much, not the run."""

CHANNEL: Final = "virtual_clock"
SETTLED_CHANNEL: Final = "virtual_clock_settled"

# A virtual instant need not survive a crash of the machine: its commits do not wait for the disk.
_NOW: Final = "select now_at from virtual_clock"
_READ: Final = "select now_at, settled_at from virtual_clock"
# What the row says where nothing was moved may be older than what kept it from moving.
_ADVANCE: Final = """
    with moved as (
        insert into virtual_clock (now_at, settled_at) values ($1, $1)
        on conflict (singleton) do update set now_at = excluded.now_at where virtual_clock.now_at < excluded.now_at
        returning now_at, settled_at
    )
    select now_at, settled_at, pg_notify('virtual_clock', extract(epoch from now_at)::text)::text,
           set_config('synchronous_commit', 'off', true)
      from moved
    union all
    select now_at, settled_at, null, null from virtual_clock where not exists (select 1 from moved)
"""
_SETTLE: Final = """
    with done as (
        update virtual_clock set settled_at = greatest(settled_at, $1) returning now_at, settled_at
    )
    select now_at, pg_notify('virtual_clock_settled', extract(epoch from settled_at)::text),
           set_config('synchronous_commit', 'off', true)
      from done
"""


class ClockState(NamedTuple):
    """The virtual present, and the instant up to which the worker has done all there was to do."""

    now_at: datetime
    settled_at: datetime


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


async def advance(connection: Any, to: datetime) -> ClockState | None:
    """Sets the clock, or moves it forward and wakes the worker, unless it stands there already; None when that would move it back."""
    row = await connection.fetchrow(_ADVANCE, to)
    state = None if row is None else ClockState(row[0], row[1])
    if state is None or state.now_at < to:
        state = await read(connection)
    return state if state is not None and state.now_at == to else None


async def read(connection: Any) -> ClockState | None:
    """The state of the clock; None before it was set."""
    row = await connection.fetchrow(_READ)
    return ClockState(*row) if row else None


async def settle(connection: Any, at: datetime) -> datetime:
    """The worker says that everything due by `at` is done; the present, which may have moved on."""
    return await connection.fetchval(_SETTLE, at)  # type: ignore[no-any-return] # asyncpg is untyped


class ClockHand:
    """Moves the clock and waits for the worker: told on a connection that listens, looking again now and then in case that is lost."""

    def __init__(self, pool: Any, dsn: str) -> None:
        self._pool = pool
        self._dsn = dsn
        self._told: set[asyncio.Event] = set()
        self._listening: asyncpg.Connection | None = None
        self._settled_s = 0.0

    async def open(self) -> None:
        """Begins to listen."""
        self._listening = await asyncpg.connect(self._dsn)
        await self._listening.add_listener(SETTLED_CHANNEL, self._tell)

    async def close(self) -> None:
        """Ends the connection."""
        if self._listening is not None:
            await self._listening.close()

    def _tell(self, *notice: Any) -> None:
        self._settled_s = max(self._settled_s, float(notice[-1]))
        for event in self._told:
            event.set()

    async def move(self, to: datetime, timeout_s: float) -> ClockState | None:
        """Moves the clock and returns when everything due by then is done (with timeout_s 0 at once); None when that would move it back.

        Raises:
            TimeoutError: it was not done within timeout_s; the clock has moved.
        """
        state = await advance(self._pool, to)
        if state is None or not timeout_s:
            return state
        return await self._settled(state, timeout_s)

    async def be_settled(self, timeout_s: float) -> None:
        """Returns when everything is done that is due by the present, before the clock was set at once.

        Raises:
            TimeoutError: it was not done within timeout_s.
        """
        state = await read(self._pool)
        if state is not None:
            await self._settled(state, timeout_s)

    async def _settled(self, state: ClockState, timeout_s: float) -> ClockState:
        """The state once everything due by `state.now_at` is done."""
        told = asyncio.Event()
        self._told.add(told)
        to = state.now_at
        try:
            async with asyncio.timeout(timeout_s):
                while state.settled_at < to:
                    state = await self._next(told, state, to)
                return state
        finally:
            self._told.discard(told)

    async def _next(self, told: asyncio.Event, state: ClockState, to: datetime) -> ClockState:
        told.clear()
        if self._settled_s < to.timestamp():
            await pause(LOST_NOTICE_S, told)
        if self._settled_s >= to.timestamp():
            return ClockState(state.now_at, to)
        return await read(self._pool) or state


async def follow(dsn: str, do_all: Callable[[datetime], Awaitable[None]], stop: asyncio.Event) -> None:
    """The worker's side: whenever the clock has moved, does all that is due by then and says so, until `stop` is set."""
    connection = await asyncpg.connect(dsn)
    moved = asyncio.Event()
    told_s = 0.0

    def hear(*notice: Any) -> None:
        nonlocal told_s
        told_s = float(notice[-1])
        moved.set()

    try:
        await connection.add_listener(CHANNEL, hear)
        state = await read(connection)
        while not stop.is_set():
            while state is not None and state.settled_at < state.now_at and not stop.is_set():
                await do_all(state.now_at)
                state = ClockState(await settle(connection, state.now_at), state.now_at)
            await pause(LOST_NOTICE_S, moved)
            # What was told is the row as it was then: only of a clock that is set for the first time it does not say all.
            if moved.is_set() and state is not None:
                state = ClockState(datetime.fromtimestamp(told_s, UTC), state.settled_at)
            else:
                state = await read(connection)
            moved.clear()
    finally:
        await connection.close()
