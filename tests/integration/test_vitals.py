"""What /metrics tells of work that does not happen: a learner that stands still, pushes that wait, days that nobody made."""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest_asyncio

from push import stop
from push.outbox import State
from schema.event import EventType
from schema.sending import SendingSwitch
from service import telemetry
from service.learning.composer import Composer
from service.planning import vitals
from service.store import pool as pools
from tests.integration import learning_world, push_world
from tests.integration.learning_world import entry, log
from tests.integration.push_world import HOUR, NOW


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await pools.open_pool(database, 2)
    yield opened
    await opened.close()


async def test_what_stands_still_is_measured(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        young = await vitals.read(connection, NOW)
        assert young[:4] == (0.0, 0.0, 0.0, 0)
        assert young.size_bytes > 2**20

        appended = NOW
        await push_world.people(connection, 2)
        await log(connection, entry(1, EventType.PURCHASE, appended, tag_ids=(2,), local_hour=9), at=appended)
        stored = await push_world.campaign(connection)
        await push_world.planned(connection, stored, [1, 2])
        await connection.execute("update outbox set state = $1 where user_id = 1", State.READY)
        await learning_world.decide(connection, 1, NOW)
        found = await vitals.read(connection, NOW + HOUR)
        assert (found.learner_lag_s, found.late_s, found.strayed) == (3600.0, 3600.0, 1)

        async with connection.transaction():
            await stop.switch(connection, SendingSwitch(is_stopped=True, reason="prices"), NOW, "me")
        assert (await vitals.read(connection, NOW + HOUR)).late_s == 0.0
    await learning_world.learner(pool).catch_up(NOW)
    assert await Composer(pool).publish(NOW)
    await vitals.VitalsMeter(pool).measure(NOW + timedelta(minutes=5))
    told = {
        name: gauge._value.get()
        for name, gauge in vars(telemetry).items()
        if name in {"LEARNER_LAG", "SNAPSHOT_AGE", "STRAYED"}
    }
    assert told == {"LEARNER_LAG": 0.0, "SNAPSHOT_AGE": 300.0, "STRAYED": 1.0}
