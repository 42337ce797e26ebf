"""What pushes add, learned from logged windows, kept and taken up: when it is due, for whom, and what is refused."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest

from bandits import incremental, incremental_fit
from bandits.features import DIMS, NAMES
from bandits.incremental import Own
from bandits.incremental_fit import Learned
from bandits.laplace import NotAPosteriorError
from service.learning import effect_learner
from service.learning.effect_learner import EffectLearner
from service.store import effects
from service.store.current_effect import EffectCache
from service.store.effects import EffectDamagedError, EffectMissingError, OwnPart, Published
from service.store.merge import merge
from service.store.merged_state import merged
from service.store.pool import open_pool
from service.telemetry import EFFECTS_REFUSED
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW
from tests.integration.windows_world import bought, decision, sent

PEOPLE = 24
LATER = NOW + timedelta(days=60)
DAY = timedelta(days=1)
PHI = np.zeros(DIMS, "<f4")
PHI[NAMES.index("bias")] = 1.0


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 2) as pool:
        await push_world.people(pool, PEOPLE)
        await push_world.offer(pool, "coffee", margin_minor=160)
        yield pool


async def weeks(pool: asyncpg.Pool, first: int, last: int) -> None:
    """Every other week a push; people of even numbers buy after it, nobody in silence."""
    for week in range(first, last):
        for user_id in range(1, PEOPLE + 1):
            after = week * timedelta(weeks=1)
            if week % 2:
                await decision(pool, user_id, NOW + after, phi=PHI)
                continue
            await sent(pool, user_id, NOW + after, phi=PHI, redeemed_at=NOW + after + 2 * HOUR)
            if user_id % 2 == 0:
                await bought(pool, user_id, after + 2 * HOUR)


async def learn(pool: asyncpg.Pool, after: timedelta = timedelta()) -> bool:
    return await EffectLearner(pool).learn_if_due(LATER + after)


async def own_parts(pool: asyncpg.Pool) -> dict[int, OwnPart]:
    async with pool.acquire() as connection:
        return await effects.own_parts(connection, range(1, PEOPLE + 1))


async def ask_for_it(pool: asyncpg.Pool) -> None:
    await push_world.campaign(pool, "adds", goal="incremental_value")


async def test_it_is_learned_where_a_campaign_asks_for_it(pool: asyncpg.Pool) -> None:
    await weeks(pool, 0, 4)
    await push_world.campaign(pool, "plain")
    assert not await learn(pool)
    await ask_for_it(pool)
    cache = EffectCache()
    async with pool.acquire() as connection:
        assert (await cache.refresh(connection)).version == 0
        assert await learn(pool)
        current = await cache.refresh(connection)
        assert await effects.newest(connection) == Published(1, LATER, 4 * PEOPLE, 2 * PEOPLE)
    assert (current.version, current.pushes) == (1, 2 * PEOPLE)
    nobody = Own(np.zeros(1), np.ones(1))
    gain = incremental.gain(current.known, nobody, PHI[None, :], incremental.Worth(np.ones(1), np.zeros(1)))
    assert gain.organic[0] < 0.1
    assert 0.3 < gain.sent[0] < 0.7
    parts = await own_parts(pool)
    assert len(parts) == PEOPLE
    assert all(parts[n].mean > 0.2 for n in range(2, PEOPLE, 2))
    assert all(parts[n].mean < -0.2 for n in range(1, PEOPLE, 2))
    await pool.execute("update campaigns set status = 'ended'")
    assert not await learn(pool, 2 * DAY)


async def test_it_is_learned_daily_and_sooner_while_there_is_little(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask_for_it(pool)
    assert not await learn(pool)  # nothing to learn from
    await weeks(pool, 0, 4)
    assert await learn(pool)
    assert not await learn(pool, HOUR)
    await decision(pool, 1, NOW + HOUR, phi=PHI)
    assert not await learn(pool, HOUR)
    await weeks(pool, 4, 5)
    assert await learn(pool, 2 * HOUR)  # a quarter more
    assert await learn(pool, DAY + 2 * HOUR)
    await weeks(pool, 5, 8)
    monkeypatch.setattr(effect_learner, "FEW", 50)
    assert not await learn(pool, DAY + 3 * HOUR)
    assert await learn(pool, 2 * DAY + 3 * HOUR)


async def test_own_parts_are_those_of_the_newest_effect_alone(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask_for_it(pool)
    await weeks(pool, 0, 2)
    await pool.execute("update users set has_personalization_consent = false where user_id = 2")
    assert await learn(pool)
    before = await own_parts(pool)
    assert sorted(before) == [1, *range(3, PEOPLE + 1)]
    await pool.execute("update users set has_personalization_consent = false where user_id = 3")
    monkeypatch.setattr(effect_learner, "WINDOWS_MAX", PEOPLE)  # half of the windows
    assert await learn(pool, DAY)
    after = await own_parts(pool)
    assert 2 < len(after) < PEOPLE - 4
    assert set(after) < set(before) - {3}


def none_at_all(*_: object) -> Learned:
    raise NotAPosteriorError("not positive definite")


def not_finite(windows: Any, redeemed: float, before: Learned, now_s: float) -> Learned:
    return before._replace(effect=before.effect._replace(covariance=before.effect.covariance * np.nan))


def nobodys_own(windows: Any, redeemed: float, before: Learned, now_s: float) -> Learned:
    return before._replace(own=before.own._replace(mean=before.own.mean * np.nan))


@pytest.mark.parametrize("learn_badly", [none_at_all, not_finite, nobodys_own])
async def test_what_is_no_posterior_is_refused_and_the_last_one_stays(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, learn_badly: Callable[..., Learned]
) -> None:
    await ask_for_it(pool)
    await weeks(pool, 0, 2)
    learner, before = EffectLearner(pool), EFFECTS_REFUSED._value.get()
    assert await learner.learn_if_due(LATER)
    parts = await own_parts(pool)
    monkeypatch.setattr(incremental_fit, "learn", learn_badly)
    assert not await learner.learn_if_due(LATER + DAY)
    assert EFFECTS_REFUSED._value.get() == before + 1
    assert not await learner.learn_if_due(LATER + DAY + HOUR)  # not tried at every tick
    assert EFFECTS_REFUSED._value.get() == before + 1
    async with pool.acquire() as connection:
        assert await effects.newest(connection) == Published(1, LATER, 2 * PEOPLE, PEOPLE)
    assert await own_parts(pool) == parts


def bad(kind: str) -> incremental.Effect:
    good = incremental.UNKNOWN
    mean, covariance = good.mean.copy(), good.covariance.copy()
    if kind == "nan":
        mean[0] = np.nan
    if kind == "indefinite":
        covariance[1, 1] = -1.0
    if kind == "short":
        return good._replace(mean=mean[1:], covariance=covariance[1:, 1:])
    return good._replace(mean=mean, covariance=covariance)


async def put(pool: asyncpg.Pool, version: int, effect: incremental.Effect) -> None:
    none = np.empty(0, np.int64), Own(np.empty(0), np.empty(0))
    async with pool.acquire() as connection:
        assert await effects.publish(connection, Published(version, NOW + version * DAY, 8, 4), effect, *none)


@pytest.mark.parametrize("kind", ["nan", "indefinite", "short", "checksum", "features"])
async def test_what_must_not_be_decided_by_is_not_taken(pool: asyncpg.Pool, kind: str) -> None:
    cache, before = EffectCache(), EFFECTS_REFUSED._value.get()
    await put(pool, 1, incremental.UNKNOWN)
    async with pool.acquire() as connection:
        good = await cache.refresh(connection)
        assert good.version == 1
        await put(pool, 2, bad(kind))
        if kind == "checksum":
            await pool.execute("update effects set body = set_byte(body, 9, 7) where version = 2")
        if kind == "features":
            await pool.execute("update effects set effect_set = effect_set + 1 where version = 2")
        for _ in range(2):
            assert await cache.refresh(connection) is good
        assert EFFECTS_REFUSED._value.get() == before + 1
        with pytest.raises(EffectDamagedError):
            await effects.load(connection, 2)
        await put(pool, 3, incremental.UNKNOWN)
        assert (await cache.refresh(connection)).version == 3


async def test_versions_are_dense_and_old_ones_go(pool: asyncpg.Pool) -> None:
    for version in (1, 2, 3):
        await put(pool, version, incremental.UNKNOWN)
    none = np.empty(0, np.int64), Own(np.empty(0), np.empty(0))
    async with pool.acquire() as connection:
        late: Any = Published(3, NOW, 8, 4)
        assert not await effects.publish(connection, late, incremental.UNKNOWN, *none)
        await effects.purge(connection, NOW + 2 * DAY + HOUR)  # the first was replaced by then, the second not yet
        with pytest.raises(EffectMissingError):
            await effects.load(connection, 1)
        for version in (0, 2, 3):
            assert (await effects.load(connection, version)).effect.mean.tolist() == incremental.UNKNOWN.mean.tolist()
        await effects.purge(connection, NOW + 900 * DAY)
        assert await connection.fetch("select version from effects") == [(3,)]


async def test_who_is_merged_into_another_leaves_no_part(pool: asyncpg.Pool) -> None:
    await pool.execute("insert into own_effects values (1, 0.5, 0.25), (2, 1, 0.5)")
    async with pool.acquire() as connection, connection.transaction():
        await merge(connection, 1, 2, NOW, merged)
    assert await own_parts(pool) == {1: OwnPart(0.5, 0.25)}
    assert await pool.fetchval("select count(*) from own_effects") == 1


async def test_damaged_own_parts_count_as_none(pool: asyncpg.Pool) -> None:
    await pool.execute("insert into own_effects values (1, 'nan', 1), (2, 0, 0), (3, 'infinity', 1), (4, 0.5, 0.25)")
    assert await own_parts(pool) == {4: OwnPart(0.5, 0.25)}
