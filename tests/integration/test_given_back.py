"""A connection that is cut at an unlucky moment is given back in the middle of something: who asked is told to ask again."""

import asyncio

import asyncpg
import pytest

from service.errors import translate
from service.store import pool as pools


async def test_a_connection_given_back_in_the_middle_of_something_is_no_mistake_of_ours(database: str) -> None:
    pool = await pools.open_pool(database, 1)
    turn = pool.acquire()
    connection = await turn.__aenter__()
    await connection.transaction().start()
    under_way = asyncio.create_task(connection.execute("select pg_sleep(5)"))
    await asyncio.sleep(0)
    with pytest.raises(asyncpg.InterfaceError, match="in progress") as caught:
        await turn.__aexit__(None, None, None)
    told = translate(caught.value)
    assert (told.status, told.code, told.retry_after_s) == (503, "unavailable", 1)
    pool.terminate()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await under_way
