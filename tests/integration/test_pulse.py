"""After a silence the sessions that were cut are ended on the server, and no other: a pid may be somebody else's by then."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest_asyncio

from loadtest.faults.proxy import FaultProxy, to_socket
from service.store import pool as pools
from service.store.pulse import Pulse

LIVES = "select count(*) from pg_stat_activity where pid = $1"


class Silence(NamedTuple):
    """A session whose client was cut while the network was silent: the server has not heard of it."""

    pulse: Pulse
    pid: int
    direct: Any

    async def lives(self) -> bool:
        return bool(await self.direct.fetchval(LIVES, self.pid))


@pytest_asyncio.fixture
async def silence(database: str) -> AsyncIterator[Silence]:
    parts = urlsplit(database)
    where = parse_qs(parts.query)
    direct = await asyncpg.connect(database)
    async with FaultProxy(to_socket(f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}")).open() as proxy:
        dsn = f"postgresql://welltimed@127.0.0.1:{proxy.port}{parts.path}"
        pulse = Pulse(dsn)
        pool = await pools.open_pool(dsn, 1, joined=pulse.joined)
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
        proxy.forget()
        proxy.freeze()
        pulse._cut()
        yield Silence(pulse, pid, direct)
        pool.terminate()
    await direct.close()


async def test_a_session_that_was_cut_is_ended_on_the_server(silence: Silence) -> None:
    assert await silence.lives()
    await silence.pulse._end_cut(silence.direct)
    while await silence.lives():  # it has been told, and ends in its own time
        pass
    assert not silence.pulse._to_end


async def test_a_session_that_has_the_pid_of_one_that_was_cut_goes_on(silence: Silence) -> None:
    (session,) = silence.pulse._to_end
    silence.pulse._to_end = {session._replace(began_at=session.began_at - timedelta(microseconds=1))}
    await silence.pulse._end_cut(silence.direct)
    assert await silence.lives()
    assert not silence.pulse._to_end
