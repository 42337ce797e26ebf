"""Migration 0017 over what the program before it has learned: people's own parts begin again, tastes stay, old decisions teach no own part."""

import shutil
from pathlib import Path

import asyncpg
import numpy as np

from bandits import personal
from schema.event import EventType
from service.learning.ripening import WINDOW
from service.store.migrate import default_folder, migrate
from service.store.pool import open_pool
from tests.integration import learning_world as world
from tests.integration.learning_world import HOUR, START, entry, log
from tests.integration.test_learning_own_part import decide

_LEARNED = "insert into user_state (user_id, tastes, rhythm, personal, updated_at) values (5, 'tastes', '', 'old', $1)"
_SHOWN = "insert into exposures (user_id, decision_id, slot, offer_id, exposed_at) values (5, $1, 0, 1, $2)"


async def test_own_parts_begin_again(empty_database: str, tmp_path: Path) -> None:
    for file in default_folder().glob("*.sql"):
        if file.stem < "0017":
            shutil.copy(file, tmp_path)
    await migrate(empty_database, tmp_path)
    async with await open_pool(empty_database, 2) as pool, pool.acquire() as connection:
        await connection.execute(_LEARNED, START)
        before = await decide(connection, 5, START, feature_set=None)
        await connection.execute(_SHOWN, before, START)
        await _migrate(connection)
        await world.build(connection)
        assert tuple(await connection.fetchrow("select tastes, personal from user_state")) == (b"tastes", b"")
        assert {row[0] for row in await connection.fetch("select ripe_through from learner_partitions")} == {START}
        await connection.execute("update user_state set tastes = ''")
        # An answer to come takes nothing back that is not there.
        after = await decide(connection, 5, START + HOUR)
        await log(
            connection,
            entry(5, EventType.REDEEMED, START + HOUR, decision_id=before),
            entry(5, EventType.SHOWN, START + HOUR, decision_id=after),
        )
        learner = world.learner(pool)
        await learner.catch_up(START + 2 * HOUR)
        assert await connection.fetchval("select personal from user_state") == b""
        assert await learner.ripen(START + HOUR + WINDOW) == 1
        packed = await connection.fetchval("select personal from user_state")
        assert np.any(personal.unpack(packed).at(START.timestamp()))


async def _migrate(connection: asyncpg.Connection) -> None:
    await migrate(connection, default_folder())
