"""Decisions held to a snapshot: kept from the purge, and what a process does when it cannot use it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from service.learning.composer import Composer
from service.store import snapshot_pins, snapshots
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool
from service.store.snapshot_pins import Sound
from tests.deciding import NOW

BREAK = "update snapshots set body = set_byte(body, 40, get_byte(body, 40) # 1) where version = $1"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


async def publish(pool: asyncpg.Pool, count: int) -> None:
    composer = Composer(pool)
    for hour in range(count):
        assert await composer.publish(NOW + timedelta(hours=hour))


async def version(cache: SnapshotCache) -> int | None:
    model = await cache.refresh()
    return None if model is None else model.version


async def test_a_pinned_snapshot_is_used_and_outlives_the_purge(pool: asyncpg.Pool) -> None:
    cache = SnapshotCache(pool)
    assert await version(cache) is None
    await publish(pool, 4)
    assert await version(cache) == 4
    await snapshot_pins.hold(pool, Sound(2, 0), NOW, "test", "4 looks odd")
    assert await version(cache) == 2
    assert await snapshots.purge(pool, NOW + timedelta(days=30)) == 2
    assert [row[0] for row in await pool.fetch("select version from snapshots order by 1")] == [2, 4]
    assert await version(SnapshotCache(pool)) == 2
    await snapshot_pins.hold(pool, None, NOW, "test", "")
    assert await version(cache) == 4
    assert await snapshots.purge(pool, NOW + timedelta(days=30)) == 1
    assert await pool.fetchval("select count(*) from snapshot_pins") == 2


async def test_who_cannot_use_the_pinned_one_keeps_the_last_good_one_or_begins_with_the_newest(
    pool: asyncpg.Pool,
) -> None:
    await publish(pool, 3)
    cache = SnapshotCache(pool)
    assert await version(cache) == 3
    await pool.execute(BREAK, 1)
    await snapshot_pins.hold(pool, Sound(1, 0), NOW, "test", "")
    assert await version(cache) == 3
    begins = SnapshotCache(pool)
    assert await version(begins) == 3
    assert await Composer(pool).publish(NOW + timedelta(hours=4))
    assert await version(begins) == 3
    await snapshot_pins.hold(pool, Sound(2, 0), NOW, "test", "")
    assert await version(begins) == await version(cache) == 2


async def test_who_has_none_yet_takes_the_first_sound_one_that_comes(pool: asyncpg.Pool) -> None:
    await publish(pool, 1)
    await pool.execute(BREAK, 1)
    cache = SnapshotCache(pool)
    assert await version(cache) is None
    assert await version(cache) is None
    await publish_next(pool)
    assert await version(cache) == 2


async def publish_next(pool: asyncpg.Pool) -> None:
    assert await Composer(pool).publish(NOW + timedelta(hours=9))


async def test_changes_wake_who_listens(pool: asyncpg.Pool, database: str) -> None:
    heard: list[str] = []
    connection = await asyncpg.connect(database)
    await connection.add_listener(snapshots.CHANNEL, lambda *told: heard.append(told[3]))
    await snapshot_pins.hold(pool, None, NOW, "test", "")
    await connection.execute("select 1")
    assert len(heard) == 1
    await connection.close()


async def test_a_watch_that_fails_goes_on(pool: asyncpg.Pool, database: str) -> None:
    cache, looks = SnapshotCache(pool), 0

    async def beside() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ValueError("a policy of a newer release")

    watching = asyncio.create_task(cache.watch(database, beside))
    try:
        async with asyncio.timeout(20):
            while not looks:
                await asyncio.sleep(0.01)
            await publish(pool, 1)
            while cache.current is None or looks < 2:
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
