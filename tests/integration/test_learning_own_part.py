"""A person's own part as the learner counts it: showings, redemptions and words, each once, and only of what was decided for them."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from bandits import personal
from bandits.features import FEATURE_SET
from bandits.personal import LoggedRow, Personal
from schema.event import EventType
from schema.ids import lowest_uuid7
from service.learning.ripening import WINDOW
from service.store import merge as merging
from service.store import merged_state
from service.store.pool import open_pool
from tests.integration import learning_world as world
from tests.integration.learning_world import HOUR, START, entry, log

NOW = START + 10 * HOUR
ETAS = (-2.0, -1.0)
OFFSETS = (0.5, -0.25)
_SCORED = """
    update decisions set z = $3, personal_offsets = $4, predictions = $5 where user_id = $1 and decision_id = $2
"""


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 3) as opened:
        async with opened.acquire() as connection:
            await world.build(connection)
        yield opened


def rows() -> list[LoggedRow]:
    z = np.random.default_rng(4).normal(size=(2, personal.DIMS)).astype(np.float32)
    return [LoggedRow(*row) for row in zip(z, ETAS, OFFSETS, strict=True)]


async def decide(connection: Any, user_id: int, at: datetime = START, *, feature_set: int | None = FEATURE_SET) -> UUID:
    """A slate of two offers, of which the person's own part was logged."""
    decided = await world.decide(connection, user_id, at, (1, 2), feature_set=feature_set)
    z = np.stack([row.z for row in rows()]).astype("<f4").tobytes()
    predictions = np.zeros((2, 2, 2), "<f4")
    predictions[:, 1, 0] = ETAS
    await connection.execute(_SCORED, user_id, decided, z, list(OFFSETS), predictions.tobytes())
    return decided


async def own_sums(pool: asyncpg.Pool, user_id: int) -> np.ndarray:
    """As they weigh now."""
    packed = await pool.fetchval("select personal from user_state where user_id = $1", user_id)
    return personal.unpack(packed or b"").at(NOW.timestamp())


def assert_is(found: np.ndarray, expected: Personal) -> None:
    np.testing.assert_allclose(found, expected.at(NOW.timestamp()), rtol=1e-5, atol=1e-5)


async def test_showings_redemptions_and_words_are_counted_once(pool: asyncpg.Pool) -> None:
    learner, at = world.learner(pool), START + HOUR
    expected, (first, second) = Personal(), rows()
    async with pool.acquire() as connection:
        decided = await decide(connection, 5)
        told = [
            entry(5, EventType.REDEEMED, at + HOUR, decision_id=decided, slot=0),
            entry(5, EventType.SHOWN, at, decision_id=decided, slot=0),
            entry(5, EventType.SHOWN, at, decision_id=decided, slot=1),
        ]
        await log(connection, told[0])
        await learner.fold_once(NOW)
        assert not (await own_sums(pool, 5)).any()
        await log(connection, *told[1:], told[0])
        await learner.fold_once(NOW)
        expected.shown(first, at.timestamp())
        expected.redeemed(first, at.timestamp())
        assert_is(await own_sums(pool, 5), expected)
        await log(connection, entry(5, EventType.THUMBS_DOWN, at + 2 * HOUR, decision_id=decided, slot=1, offer_id=2))
        await learner.fold_once(NOW)
        expected.said(second, (at + 2 * HOUR).timestamp(), 0.0, 4.0)
        assert_is(await own_sums(pool, 5), expected)
        # What was not redeemed counts when its window is over.
        assert await learner.ripen(at + WINDOW) == 1
        expected.shown(second, at.timestamp())
        assert_is(await own_sums(pool, 5), expected)
        # The shared model takes the same part for granted.
        assert [
            row[0] for row in await connection.fetch("select personal_offset from exposures order by slot")
        ] == list(OFFSETS)


@pytest.mark.parametrize("kind", [EventType.THUMBS_UP, EventType.THUMBS_DOWN, EventType.DISMISSED, EventType.NOT_NOW])
async def test_a_word_pulls_its_way(pool: asyncpg.Pool, kind: EventType) -> None:
    async with pool.acquire() as connection:
        decided = await decide(connection, 5)
        await log(connection, entry(5, kind, NOW, decision_id=decided, slot=0))
        await world.learner(pool).fold_once(NOW)
    data = await pool.fetchval("select personal from user_state where user_id = 5")
    first = rows()[0]
    believed = personal.scores(first.z[None], data, personal.VARIANCES, NOW.timestamp())
    assert (float(first.z @ believed.mean) > 0.0) is (kind == EventType.THUMBS_UP)


@pytest.mark.parametrize("wrong", ["another person's", "a slot that was not", "long ago", "without an own part"])
async def test_a_word_about_nothing_decided_for_them_counts_for_nothing(pool: asyncpg.Pool, wrong: str) -> None:
    async with pool.acquire() as connection:
        decided, slot = await decide(connection, 6 if wrong == "another person's" else 5), 0
        if wrong == "a slot that was not":
            slot = 2
        elif wrong == "long ago":
            decided = lowest_uuid7(NOW - timedelta(days=400))
        elif wrong == "without an own part":
            await connection.execute("update decisions set z = ''")
        await log(connection, entry(5, EventType.DISMISSED, NOW, decision_id=decided, slot=slot, offer_id=1))
        assert await world.learner(pool).fold_once(NOW) == 1
    assert not (await own_sums(pool, 5)).any()


async def test_two_people_who_are_one_have_both_parts(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        for user_id in (5, 6):
            decided = await decide(connection, user_id)
            await log(connection, entry(user_id, EventType.SHOWN, START, decision_id=decided, slot=user_id - 5))
        learner = world.learner(pool)
        await learner.fold_once(NOW)
        await learner.ripen(START + WINDOW)
        async with connection.transaction():
            await merging.merge(connection, 6, 5, NOW, merged_state.merged)
    expected = Personal()
    for row in rows():
        expected.shown(row, START.timestamp())
    assert_is(await own_sums(pool, 6), expected)
    assert not (await own_sums(pool, 5)).any()
