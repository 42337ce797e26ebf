"""Outcome windows of pushes, as SQL makes them of what is logged: what is in them, and what is left out."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import pytest

from bandits.features import FEATURE_SET
from bandits.incremental_fit import NOBODY
from schema.ids import uuid7
from service.store import push_windows
from service.store.pool import open_pool
from service.store.push_windows import Read
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW
from tests.integration.windows_world import EVENT, bought, decision, sent

LATER = NOW + timedelta(days=9)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 2) as pool:
        await push_world.people(pool, 9)
        await push_world.offer(pool, "coffee", tags=["coffee", "hot"])
        yield pool


async def windows(pool: asyncpg.Pool, now: datetime = LATER, share: float = 1.0) -> tuple[Read, dict[int, int]]:
    """What there is, and the row of each person by the number in their phi."""
    async with pool.acquire() as connection:
        read = await push_windows.read(connection, now, share)
    return read, {int(phi[0]): row for row, phi in enumerate(read.windows.phi)}


async def test_what_was_sent_and_what_was_not(pool: asyncpg.Pool) -> None:
    await sent(pool, 1)
    await sent(pool, 2, redeemed_at=NOW + 5 * HOUR)
    await decision(pool, 3)  # the gate
    await decision(pool, 4, holdout=True)
    for user_id, hours in ((2, 5), (3, 6), (4, 73)):
        await bought(pool, user_id, hours * HOUR)
    read, rows = await windows(pool)
    assert sorted(rows) == [1, 2, 3, 4]
    assert [read.windows.is_sent[rows[n]] for n in (1, 2, 3, 4)] == [1.0, 1.0, 0.0, 0.0]
    assert [read.windows.is_bought[rows[n]] for n in (1, 2, 3, 4)] == [0.0, 1.0, 1.0, 0.0]
    assert read.redeemed == 1.0
    began = read.windows.began_at_s - NOW.timestamp()
    assert [began[rows[n]] for n in (1, 3)] == [60.0, 0.0]
    assert read.windows.age_s[rows[2]] == 5 * 3600.0 - 60.0
    assert [read.people[read.windows.person[rows[n]]] for n in (1, 2, 3, 4)] == [1, 2, 3, 4]
    async with pool.acquire() as connection:
        assert await push_windows.count(connection, LATER) == (4, 2)


async def test_what_never_left_is_in_no_window(pool: asyncpg.Pool) -> None:
    await decision(pool, 1, action=1)  # withdrawn, failed, expired, or not settled yet
    await sent(pool, 2, is_push=False)  # of unknown fate: opened, but FCM never said that it took it
    await decision(pool, 3, channel=0)  # inside the app
    await decision(pool, 4, offers=[])  # nothing was eligible
    await decision(pool, 5, phi=float("nan"))
    await decision(pool, 6, NOW - timedelta(days=200))
    await decision(pool, 7, LATER)
    await decision(pool, 8, feature_set=FEATURE_SET - 1)
    read, rows = await windows(pool)
    assert not rows
    assert not len(read.people)


async def test_a_purchase_is_one_of_a_tag_of_the_offer_as_it_was(pool: asyncpg.Pool) -> None:
    await push_world.offer(pool, "coffee", tags=["tea"])  # version 2
    for user_id in range(1, 7):
        await decision(pool, user_id, catalogue=2 if user_id == 6 else 1)
    await bought(pool, 1, HOUR, "milk", " COFFEE ")
    await bought(pool, 2, HOUR, "hot")
    await bought(pool, 3, HOUR, "tea", "milk")
    await bought(pool, 4, -HOUR, told=HOUR)
    await bought(pool, 6, HOUR, "tea")
    await pool.execute(EVENT, 5, uuid7(NOW + HOUR, bytes(10)), 1, NOW + HOUR, NOW + HOUR, {"tags": "coffee"})
    await pool.execute(EVENT, 5, uuid7(NOW + HOUR, bytes([9] * 10)), 2, NOW + HOUR, NOW + HOUR, {"tags": ["coffee"]})
    read, rows = await windows(pool)
    assert [read.windows.is_bought[rows[n]] for n in range(1, 7)] == [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]


async def test_what_is_told_later_counts_from_then_on(pool: asyncpg.Pool) -> None:
    await decision(pool, 1)
    await bought(pool, 1, HOUR, told=30 * HOUR)
    await bought(pool, 1, 2 * HOUR, told=50 * HOUR)
    before, _ = await windows(pool, NOW + 30 * HOUR)
    assert before.windows.is_bought.tolist() == [0.0]
    after, _ = await windows(pool, NOW + 31 * HOUR)
    assert (after.windows.is_bought.tolist(), after.windows.age_s.tolist()) == ([1.0], [30 * 3600.0])


async def test_whose_part_may_be_learned(pool: asyncpg.Pool) -> None:
    await push_world.offer(pool, "remedy", is_sensitive=True)
    await push_world.offer(pool, "beer", min_age=21)
    await decision(pool, 1)
    await decision(pool, 2, personal=False)
    await decision(pool, 3)
    await pool.execute("update users set has_personalization_consent = false where user_id = 3")
    await decision(pool, 4, offers=[2], catalogue=3)
    await decision(pool, 5, offers=[3], catalogue=3)
    await decision(pool, 6)
    await pool.execute("update users set merged_into = 7 where user_id = 6")  # decided while they were merged
    read, rows = await windows(pool)
    assert [read.windows.person[rows[n]] == NOBODY for n in range(1, 7)] == [False, True, True, True, True, False]
    assert read.people.tolist() == [1, 7]


async def test_a_sample_is_of_people_and_always_the_same(pool: asyncpg.Pool) -> None:
    for user_id in range(1, 10):
        for day in range(4):
            await decision(pool, user_id, NOW + timedelta(days=day))
    (half, _), (again, _), (most, _) = [await windows(pool, share=share) for share in (0.5, 0.5, 0.8)]
    counts = np.unique(half.windows.phi[:, 0], return_counts=True)
    assert 0 < len(counts[0]) < 9
    assert set(counts[1]) == {4}
    assert half.people.tolist() == again.people.tolist()
    assert set(half.people) <= set(most.people)
