"""Snapshots in PostgreSQL: versions, checksum, what is kept, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from bandits import features
from bandits.delay import AGE_EDGES_S
from bandits.policies import model
from bandits.sums import Sums
from schema.event import EventType
from service.learning import books, composer
from service.learning.composer import Composer
from service.learning.refit import Refitter
from service.store import partitions, snapshots
from service.store import pool as pools
from service.store.snapshots import SnapshotDamagedError, SnapshotMissingError
from service.telemetry import SNAPSHOTS_REFUSED
from tests.counting import EPOCH, Tally
from tests.integration import learning_world as world
from tests.integration.learning_world import HOUR, START, decide, entry, log

SECOND = timedelta(seconds=1)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await pools.open_pool(database, 4)
    async with opened.acquire() as connection:
        await world.build(connection)
    yield opened
    await opened.close()


def refused() -> float:
    return SNAPSHOTS_REFUSED._value.get()  # the client library has no public way to read a counter


async def buy(pool: Any, user_id: int = 1) -> None:
    async with pool.acquire() as connection:
        await log(connection, entry(user_id, EventType.PURCHASE, START, tag_ids=(2,), local_hour=9))
    await world.learner(pool).catch_up(START)


async def test_the_first_snapshot_is_the_prior_and_others_follow_what_is_learned(pool: asyncpg.Pool) -> None:
    one = Composer(pool)
    assert await one.publish_if_changed(START)
    first = model.from_snapshot(await snapshots.load(pool, 1))
    np.testing.assert_allclose(first.means, [prior.mean for prior in features.PRIORS], atol=1e-6)
    for covariance, prior in zip(first.factors @ first.factors.transpose(0, 2, 1), features.PRIORS, strict=True):
        np.testing.assert_allclose(covariance, np.diag(1.0 / prior.precision), rtol=1e-5, atol=1e-12)

    assert not await one.publish_if_changed(START + 10 * SECOND)
    assert not await Composer(pool).publish_if_changed(START + 10 * SECOND)
    await buy(pool)
    assert not await one.publish_if_changed(START + 0.5 * SECOND)
    assert await one.publish_if_changed(START + 2 * SECOND)
    second = await snapshots.latest(pool)
    assert second is not None
    assert (second.version, sum(second.offsets)) == (2, 1)
    assert model.from_snapshot(second).tag_shares.tolist() == [0.0, 0.0, 1.0]
    assert model.from_snapshot(second).hour_shares[9] == 1.0
    assert not await one.publish_if_changed(START + 30 * 60 * SECOND)
    assert await one.publish_if_changed(START + 2 * HOUR)  # exposures ripen with time alone
    assert not await one.publish_if_changed(START + HOUR)  # a clock that was set back has nothing new to say,
    await buy(pool)
    assert await one.publish_if_changed(START + HOUR)  # and waits with nothing that is


async def test_a_reward_moves_the_posterior(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        for user_id in range(1, 21):
            decided = await decide(connection, user_id, START)
            await log(
                connection,
                entry(user_id, EventType.ACCEPTED, START, decision_id=decided),
                entry(user_id, EventType.REDEEMED, START + HOUR, decision_id=decided),
            )
    now = START + timedelta(days=6)
    await world.learner(pool).catch_up(now)
    assert await Refitter(pool).refit_if_due(now)
    assert await Composer(pool).publish(now)
    snapshot = await snapshots.load(pool, 1)
    opened, redeemed = snapshot.heads
    assert opened.exposures == pytest.approx(20.0, rel=0.05)
    phi = np.concatenate([world.phi_of(user_id, 1) for user_id in range(1, 21)])
    means = model.from_snapshot(snapshot).means
    prior = [float((phi @ one.mean).mean()) for one in features.PRIORS]
    assert float((phi @ means[0]).mean()) < prior[0]
    assert float((phi @ means[1]).mean()) > prior[1]
    assert redeemed.arrived[AGE_EDGES_S.index(3600.0)] > 0.9  # all of them came within the first hour


async def test_of_two_publishers_one_wins_and_who_listens_hears_it(pool: asyncpg.Pool, database: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = await asyncpg.connect(database)
    await listening.add_listener(snapshots.CHANNEL, lambda *told: heard.put_nowait(told[3]))
    built = composer.compose(1, EPOCH, await partitions.load(pool), {}, START.timestamp())
    assert sorted(await asyncio.gather(*[snapshots.publish(pool, built) for _ in range(4)])) == [
        False,
        False,
        False,
        True,
    ]
    assert await asyncio.wait_for(heard.get(), 2.0) == "1"
    await asyncio.sleep(0.05)
    assert heard.empty()
    ahead = composer.compose(3, EPOCH, await partitions.load(pool), {}, START.timestamp())
    assert not await snapshots.publish(pool, ahead)
    await listening.close()


def bad(value: float) -> Sums:
    told = Tally()
    told.add_exposure(world.phi_of(1, 1)[0], START.timestamp())
    sums = told.sums()
    sums.outer[0, 0] = value
    return sums


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e9], ids=["nan", "infinity", "not positive definite"])
async def test_unfit_sums_are_refused_and_the_last_snapshot_stays(pool: asyncpg.Pool, value: float) -> None:
    one = Composer(pool)
    assert await one.publish(START)
    before = refused()
    async with pool.acquire() as connection:
        await books.load(connection, START)
        await partitions.put(connection, {}, {(3, -1): bad(value).pack()})
    assert not await one.publish(START + HOUR)
    assert refused() == before + 1
    last = await snapshots.latest(pool)
    assert last is not None
    assert last.version == 1


@pytest.mark.parametrize("population", [b"short", np.full(200, np.nan).tobytes()], ids=["damaged", "nan"])
async def test_an_unfit_population_is_refused(pool: asyncpg.Pool, population: bytes) -> None:
    async with pool.acquire() as connection:
        await partitions.put(connection, {5: population}, {})
    assert not await Composer(pool).publish(START)
    assert await snapshots.latest(pool) is None


async def test_sums_of_another_size_are_refused(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await books.load(connection, START)
        await partitions.put(connection, {}, {(3, -1): Sums(features.DIMS + 1).pack()})
    assert not await Composer(pool).publish(START)


async def test_a_damaged_or_missing_version_is_told(pool: asyncpg.Pool) -> None:
    assert await Composer(pool).publish(START)
    with pytest.raises(SnapshotMissingError, match="snapshot 2"):
        await snapshots.load(pool, 2)
    await pool.execute("update snapshots set body = set_byte(body, 40, get_byte(body, 40) # 1)")
    with pytest.raises(SnapshotDamagedError, match="snapshot 1"):
        await snapshots.load(pool, 1)
    with pytest.raises(SnapshotDamagedError):
        await snapshots.latest(pool)
    assert await Composer(pool).publish_if_changed(START + SECOND)
    assert (await snapshots.load(pool, 2)).version == 2


async def test_purge_deletes_what_was_replaced_long_ago_and_a_replay_refuses_in_words(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def left() -> list[int]:
        return [row[0] for row in await pool.fetch("select version from snapshots order by 1")]

    one = Composer(pool)
    for hour in range(5):
        assert await one.publish(START + hour * HOUR)
    async with pool.acquire() as connection:
        await decide(connection, 1, START + HOUR, snapshot_version=2)
    # Version 3 was in use until version 4 came.
    assert await snapshots.purge(pool, START + 3 * HOUR) == 2
    assert await left() == [3, 4, 5]
    with pytest.raises(SnapshotMissingError, match="no longer kept"):
        await snapshots.load(pool, 2)
    monkeypatch.setattr(snapshots, "_PURGE_MAX", 2)
    assert await snapshots.purge(pool, START + 99 * HOUR) == 1
    assert await snapshots.purge(pool, START + 99 * HOUR) == 1
    assert await snapshots.purge(pool, START + 99 * HOUR) == 0
    assert await left() == [5]
    assert await one.publish(START + 99 * HOUR)
    assert (await snapshots.load(pool, 6)).version == 6


async def test_the_learner_s_closing_of_cohorts_makes_no_difference(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        for user_id in range(1, 11):
            decided = await decide(connection, user_id, START)
            await log(connection, entry(user_id, EventType.ACCEPTED, START, decision_id=decided))
    await world.learner(pool).catch_up(START)
    later = START + timedelta(days=5)
    async with pool.acquire() as connection:
        counted, open_sums = await partitions.load(connection), await partitions.load_sums(connection)
    closed_sums = {(partition, -1): data for (partition, _), data in open_sums.items()}
    assert open_sums.keys() != closed_sums.keys()
    of_open = composer.compose(1, EPOCH, counted, open_sums, later.timestamp())
    assert of_open == composer.compose(1, EPOCH, counted, closed_sums, later.timestamp())
