"""Migration 0014 over what the program before it has learned: people and populations stay readable, sums of the old features go."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import numpy as np

from bandits import population, tastes
from bandits.population import Population
from bandits.rhythm import HOURS
from bandits.tastes import Tastes
from service.store.migrate import default_folder, migrate

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def old_tastes(state: Tastes) -> bytes:
    """Version 1 had no count of pushes at the end of the header."""
    packed = state.pack()
    header = state.header.tobytes()
    return b"\x01" + packed[1 : len(header) - 4] + packed[len(header) :]


def old_population(one: Population) -> bytes:
    return np.concatenate([[one.baskets], one.hours, one.tags]).astype("<f8").tobytes()


async def test_what_was_learned_of_people_stays(empty_database: str, tmp_path: Path) -> None:
    for file in default_folder().glob("*.sql"):
        if file.stem < "0014":
            shutil.copy(file, tmp_path)
    await migrate(empty_database, tmp_path)
    state, everyone = Tastes(), Population()
    for tag in (3, 5):
        state.bought([tag], NOW.timestamp())
        everyone.bought([tag], 9, NOW.timestamp())
    connection = await asyncpg.connect(empty_database)
    try:
        for user_id, packed in ((1, old_tastes(state)), (2, b"")):
            await connection.execute(
                "insert into user_state (user_id, tastes, rhythm, updated_at) values ($1, $2, '', $3)",
                user_id,
                packed,
                NOW,
            )
        await connection.execute(
            "update learner_partitions set population = $1 where partition = 7", old_population(everyone)
        )
        await connection.execute("insert into learner_sums values (7, -1, 'old')")
        await migrate(connection, default_folder())
        rows = await connection.fetch("select tastes from user_state order by user_id")
        assert [row[0] for row in rows] == [state.pack(), b""]
        assert tastes.unpack(rows[0][0]).header["pushed"] == 0.0
        found = population.unpack(
            await connection.fetchval("select population from learner_partitions where partition = 7")
        )
        assert (found.baskets, found.recent_baskets) == (everyone.baskets, 0.0)
        np.testing.assert_array_equal(found.tags, everyone.tags)
        assert found.hours.shape == (HOURS,)
        assert (
            population.unpack(
                await connection.fetchval("select population from learner_partitions where partition = 8")
            ).tags.size
            == 0
        )
        assert await connection.fetchval("select count(*) from learner_sums") == 0
        assert await connection.fetchval("select min(revision) from learner_partitions") > 0
    finally:
        await connection.close()
