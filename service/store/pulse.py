"""Whether PostgreSQL can be reached, felt on a connection of its own: what has fallen silent is cut, here and on the server.

A network that swallows what is sent tells nobody, and a statement would be waited for until its own timeout, its locks held on the server
for as long. Where the pulse is not answered in ANSWER_S, all connections of this process are cut: who waits on one is told at once, and
asks again. When the server is reached again, the sessions of those that were cut are ended there before anything else.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import asyncpg

from push.clock import pause
from service import telemetry
from service.store.pool import LOST

BEAT_S: Final = 1.0
ANSWER_S: Final = 5.0
"""What a busy server may take to answer `select 1`."""

CONNECT_S: Final = 2.0
AGAIN_S: Final = 0.2
LATE_S: Final = 0.5
"""A timeout that comes later than this was held up in this process, and so, perhaps, was the answer."""

_LOG: Final = telemetry.logger("pulse")

_BEAT: Final = "select 1"
_BEGAN: Final = "select pg_backend_pid(), backend_start from pg_stat_get_activity(pg_backend_pid())"
_END: Final = """
    select pg_terminate_backend(pid)
      from pg_stat_activity join unnest($1::int[], $2::timestamptz[]) as cut(pid, backend_start) using (pid, backend_start)
     where usename = current_user and application_name = 'welltimed'
"""


class _Session(NamedTuple):
    """A session of the server: its pid alone may belong to another by the time it is to be ended."""

    pid: int
    began_at: datetime


class _Listener(NamedTuple):
    channel: str
    told: Callable[[str], None]
    may_have_missed: Callable[[], None]


class Pulse:
    """One a process; `joined` is told of each connection of its pools."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._sessions: WeakKeyDictionary[Any, _Session] = WeakKeyDictionary()
        self._to_end: set[_Session] = set()
        self._listeners: list[_Listener] = []
        self.is_felt = True
        """Whether PostgreSQL answered when it was asked last."""

    async def joined(self, connection: Any) -> None:
        """This one is cut with the others. Raises what asyncpg raises when it is lost at once."""
        self._sessions[connection] = _Session(*await connection.fetchrow(_BEGAN))

    def hear(self, channel: str, told: Callable[[str], None], may_have_missed: Callable[[], None]) -> None:
        """Calls `told` with what is told on a channel; `may_have_missed` whenever it begins to hear."""
        self._listeners.append(_Listener(channel, told, may_have_missed))

    async def feel(self, stop: asyncio.Event) -> None:
        """Beats until stopped; whatever happens to its own connection, it begins again."""
        while not stop.is_set():
            try:
                await self._feel(stop)
            except LOST:  # refused or closed: so are the others, and they know
                self.is_felt = False
                await pause(AGAIN_S, stop)

    async def _feel(self, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_S,
            command_timeout=2 * ANSWER_S,  # of what has no bound of its own, such as LISTEN
            server_settings={"application_name": "pulse"},
        )
        try:
            await self._end_cut(connection)
            for listener in self._listeners:
                await _listen(connection, listener)
            self.is_felt = True
            while not stop.is_set():
                if not await _answers(connection):
                    self._cut()
                    return
                await pause(BEAT_S, stop)
        finally:
            connection.terminate()

    def _cut(self) -> None:
        self.is_felt = False
        living = [(connection, session) for connection, session in self._sessions.items() if not connection.is_closed()]
        telemetry.FAILURES.labels("silent_database").inc()
        _LOG.error("the database has fallen silent; its connections are cut", connections=len(living))
        for connection, session in living:
            self._to_end.add(session)
            connection.terminate()

    async def _end_cut(self, connection: Any) -> None:
        """Locks of a session whose client is gone are held until the server hears of it, which may be never."""
        if self._to_end:
            pids, began = zip(*self._to_end, strict=True)
            await connection.execute(_END, pids, began, timeout=ANSWER_S)
            self._to_end.clear()


async def _listen(connection: Any, listener: _Listener) -> None:
    await connection.add_listener(listener.channel, lambda _connection, _pid, _channel, text: listener.told(text))
    listener.may_have_missed()


async def _answers(connection: Any) -> bool:
    """Whether it answers within ANSWER_S, by a clock that ran meanwhile. Raises LOST when it is closed."""
    loop = asyncio.get_running_loop()
    due_at = loop.time() + ANSWER_S
    try:
        async with asyncio.timeout_at(due_at):
            await connection.execute(_BEAT)
    except TimeoutError:
        return loop.time() > due_at + LATE_S
    return True
