"""The map of tastes in the product: learned from people who let us, when it is due, and referred to by snapshots."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from bandits import personal, taste_map
from bandits.personal import LoggedRow, Personal
from schema.offer import Creative, Offer
from service.learning import taste_mapper
from service.learning.composer import Composer
from service.learning.taste_mapper import TasteMapper
from service.store import models, offers, snapshots, taste_maps
from service.store.catalogue import CatalogueCache
from service.store.pool import open_pool
from service.store.snapshots import SnapshotDamagedError, SnapshotMissingError
from service.store.taste_maps import Learned
from tests.property.test_taste_map import shoppers

NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
_PEOPLE = """
    insert into users (user_id, external_id, created_at) overriding system value
    select n, 'user ' || n, $3 from generate_series($1::bigint, $2) n
"""
_STATE = "insert into user_state (user_id, tastes, rhythm, personal, updated_at) values ($1, $2, '', $3, $4)"


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await open_pool(database, 4)
    yield opened
    await opened.close()


def opinion(weight: float) -> bytes:
    """The sums of somebody who redeemed what lies along the first axis, or the other way."""
    own = Personal()
    z = np.zeros(personal.DIMS, np.float32)
    z[3] = 1.0
    row = LoggedRow(z, -1.0, 0.0)
    for _ in range(40):
        own.shown(row, NOW.timestamp())
        if weight > 0.0:
            own.redeemed(row, NOW.timestamp())
    return own.pack()


async def live(pool: asyncpg.Pool, first: int, people: list[bytes]) -> None:
    """People first, first + 1, ... with these tastes; every other one loves the first axis, the others loathe it."""
    await pool.execute(_PEOPLE, first, first + len(people) - 1, NOW)
    for user_id, tastes in enumerate(people, first):
        await pool.execute(_STATE, user_id, tastes, opinion(1.0 if user_id % 2 else -1.0), NOW)


async def newest(pool: asyncpg.Pool) -> Learned:
    async with pool.acquire() as connection:
        found = await taste_maps.newest(connection)
    assert found is not None
    return found


async def test_a_map_is_learned_and_every_snapshot_refers_to_it(pool: asyncpg.Pool) -> None:
    await live(pool, 1, shoppers(1)[:80])
    mapper, composer = TasteMapper(pool, CatalogueCache()), Composer(pool)
    assert await composer.publish(NOW)
    assert await mapper.learn_if_due(NOW)
    assert await composer.publish(NOW)
    async with pool.acquire() as connection:
        before, after = [await models.load(connection, version) for version in (1, 2)]
        assert (await snapshots.load(connection, 2)).taste_map == 1
        again = await models.load(connection, 2, after.taste_map)
    assert not before.taste_map.axes.size
    assert after.taste_map.version == 1
    assert after.taste_map.axes.any(axis=1).sum() > 10
    assert again.taste_map is after.taste_map
    found = await newest(pool)
    assert found.people == 80
    # In the first block nobody differs, along the first axis everybody does.
    assert found.variances[0] < found.variances[1]


async def test_it_is_learned_anew_weekly_or_when_there_are_many_more_people(pool: asyncpg.Pool) -> None:
    mapper = TasteMapper(pool, CatalogueCache())
    people = shoppers(1)
    await live(pool, 1, people[:40])
    assert not await mapper.learn_if_due(NOW)  # too few people for a map
    await live(pool, 41, people[40:60])
    assert await mapper.learn_if_due(NOW)
    await live(pool, 61, people[60:100])
    assert not await mapper.learn_if_due(NOW + timedelta(days=1))
    await live(pool, 101, people[100:120])
    assert await mapper.learn_if_due(NOW + timedelta(days=1))
    assert not await mapper.learn_if_due(NOW + timedelta(days=7))
    assert await mapper.learn_if_due(NOW + timedelta(days=8))
    assert (await newest(pool)).version == 3


async def test_nothing_is_learned_of_who_did_not_consent_or_of_sensitive_things(pool: asyncpg.Pool) -> None:
    await live(pool, 1, shoppers(1)[:100])
    await pool.execute("update users set has_personalization_consent = false where user_id > 70")
    catalogue = CatalogueCache()
    async with pool.acquire() as connection:
        remedy = Offer(offer_id="r", creative=Creative(title="R"), tags=["first", "second"], is_sensitive=True)
        await offers.create(connection, remedy, NOW)
        await catalogue.refresh(connection)
        left_out = catalogue.current.offers[0].tag_ids
        assert await TasteMapper(pool, catalogue).learn_if_due(NOW)
        learned = await taste_maps.load(connection, 1)
    assert (await newest(pool)).people == 70
    assert not learned.axes[left_out].any()
    assert not np.isin(learned.companions, left_out).any()


async def test_of_many_people_a_random_part_is_asked_the_same_each_time(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(pool, 1, shoppers(1)[:120])
    async with pool.acquire() as connection:
        one, again, other = [await taste_maps.sample(connection, 90, seed) for seed in (1, 1, 2)]
    assert one == again != other
    assert 50 <= len(one) <= 90
    monkeypatch.setattr(taste_mapper, "SAMPLE_MAX", 90)
    assert await TasteMapper(pool, CatalogueCache()).learn_if_due(NOW)
    # As many as will ever be asked: more people are no reason to learn anew.
    assert not await TasteMapper(pool, CatalogueCache()).learn_if_due(NOW + timedelta(days=6))


async def test_a_snapshot_without_its_map_is_not_used(pool: asyncpg.Pool) -> None:
    await live(pool, 1, shoppers(1)[:80])
    await TasteMapper(pool, CatalogueCache()).learn_if_due(NOW)
    await Composer(pool).publish(NOW)
    async with pool.acquire() as connection:
        await connection.execute("update taste_maps set body = body || '\\x00'")
        with pytest.raises(SnapshotDamagedError, match="checksum"):
            await models.load(connection, 1)
        await connection.execute("delete from taste_maps")
        with pytest.raises(SnapshotMissingError, match="taste map 1"):
            await models.load(connection, 1)


async def test_old_maps_go_and_the_newest_stays(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        for version in (1, 2):
            learned = Learned(version, NOW, 60, [0.1, 0.1])
            assert await taste_maps.add(connection, learned, taste_map.empty(version))
        assert not await taste_maps.add(connection, Learned(2, NOW, 60, []), taste_map.empty(2))
        await taste_maps.purge(connection, NOW + timedelta(days=1))
        assert await connection.fetch("select version from taste_maps") == [(2,)]
