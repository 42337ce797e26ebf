"""Offers in PostgreSQL: dense versions, any past version as it was, limits, and the arrays of the catalogue."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import numpy as np
import pytest

from schema.decision import Channel
from schema.offer import OFFERS_MAX, Creative, Offer
from service.store import catalogue, offers, tags
from service.store.pool import open_pool, prepare

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def offer(offer_id: str, *names: str, **changes: Any) -> Offer:
    return Offer(offer_id=offer_id, creative=Creative(title=offer_id), tags=list(names or ("tea",)), **changes)


@pytest.fixture
async def prepared(connection: asyncpg.Connection) -> asyncpg.Connection:
    await prepare(connection)
    return connection


async def test_every_past_version_loads_as_it_was(prepared: asyncpg.Connection) -> None:
    tea, milk = offer("tea", "hot", "tea"), offer("milk", "cold")
    expected: dict[int, list[Offer]] = {0: []}
    await offers.put_all(prepared, [tea, milk], NOW)
    expected[1] = [tea, milk]
    dearer = await offers.patch(prepared, "tea", lambda it: msgspec.structs.replace(it, price_minor=200), NOW)
    expected[2] = [dearer, milk]
    await offers.delete(prepared, "tea")
    expected[3] = [milk]
    await offers.create(prepared, tea, NOW)
    expected[4] = [tea, milk]
    ids = set()
    for version, held in expected.items():
        loaded = await catalogue.load(prepared, version)
        assert (loaded.version, [one.offer for one in loaded.offers]) == (version, held)
        ids |= {one.id for one in loaded.offers if one.offer.offer_id == "tea"}
    assert len(ids) == 1, "a deleted offer that comes back keeps its id, and with it people's vetoes"
    newest = await catalogue.load(prepared)
    assert (newest.version, newest.index_by_external) == (4, {"tea": 0, "milk": 1})
    for missing in (-1, 5):
        with pytest.raises(catalogue.VersionMissing):
            await catalogue.load(prepared, missing)


async def test_what_does_not_change_makes_no_version(prepared: asyncpg.Connection) -> None:
    held = [offer("a"), offer("b", starts_at=NOW, discount_type="percent", discount_percent=12.5)]
    assert (await offers.put_all(prepared, held, NOW)).version == 1
    again = await offers.put_all(prepared, held, NOW)
    assert (again.version, again.unchanged) == (1, held)
    some = await offers.put_all(prepared, [held[0], msgspec.structs.replace(held[1], min_age=18), offer("c")], NOW)
    assert (some.version, [len(some.new), len(some.changed), len(some.unchanged)]) == (2, [1, 1, 1])


async def test_refusals_write_nothing(prepared: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    await offers.put_all(prepared, [offer("a")], NOW)
    with pytest.raises(offers.OfferExists):
        await offers.create(prepared, offer("a"), NOW)
    with pytest.raises(offers.OfferMissing):
        await offers.delete(prepared, "b")
    with pytest.raises(offers.OfferMissing):
        await offers.patch(prepared, "b", lambda it: it, NOW)
    with pytest.raises(ValueError, match="cannot change"):
        await offers.patch(prepared, "a", lambda it: msgspec.structs.replace(it, offer_id="b"), NOW)
    with pytest.raises(ValueError, match="normalised"):
        await offers.put_all(prepared, [offer("b", "Tea")], NOW)
    monkeypatch.setattr(tags, "TAGS_MAX", 2)
    with pytest.raises(offers.TagsFull, match=r"^x$"):
        await offers.put_all(prepared, [offer("b", "w", "x")], NOW)
    assert (await offers.version(prepared), await offers.count(prepared)) == (1, 1)
    assert await tags.known(prepared, ["w"]) == {}


async def test_concurrent_changes_give_dense_versions(database: str) -> None:
    pool = await open_pool(database, 4)
    try:

        async def put(number: int) -> int:
            async with pool.acquire() as connection:
                return (await offers.put_all(connection, [offer(f"o{number % 7}", f"t{number}")], NOW)).version

        made = await asyncio.gather(*map(put, range(40)))
        assert sorted(made) == list(range(1, 41))
        async with pool.acquire() as connection:
            open_rows = await connection.fetch(
                "select offer_id, from_version, to_version from offer_versions order by offer_id, from_version"
            )
            for before, after in itertools.pairwise(open_rows):
                if before["offer_id"] == after["offer_id"]:
                    assert before["to_version"] == after["from_version"]
            assert len(await tags.known(connection, [f"t{n}" for n in range(40)])) == 40
    finally:
        await pool.close()


async def test_concurrent_creation_happens_once(database: str) -> None:
    pool = await open_pool(database, 4)
    try:

        async def create() -> None:
            async with pool.acquire() as connection:
                await offers.create(connection, offer("a"), NOW)

        results = await asyncio.gather(*(create() for _ in range(4)), return_exceptions=True)
        assert sorted(map(repr, results)) == ["None", "OfferExists()", "OfferExists()", "OfferExists()"]
    finally:
        await pool.close()


async def test_a_full_catalogue_is_written_and_loaded(prepared: asyncpg.Connection) -> None:
    many = [offer(f"o{number}", "tea", f"t{number % 300}", store_ids=["1", "2"]) for number in range(OFFERS_MAX)]
    written = await offers.put_all(prepared, many, NOW)
    loaded = await catalogue.load(prepared)
    assert (written.version, len(written.new), len(loaded.offers)) == (1, OFFERS_MAX, OFFERS_MAX)
    with pytest.raises(offers.CatalogueFull):
        await offers.create(prepared, offer("one-too-many"), NOW)
    pages = [await offers.page(prepared, 0, 3000), await offers.page(prepared, 3000, 3000)]
    assert [held for _, held in itertools.chain(*pages)] == many


async def test_arrays_are_aligned_with_the_offers(prepared: asyncpg.Connection) -> None:
    ends_at = NOW + timedelta(days=1)
    await offers.put_all(
        prepared,
        [
            offer("a", "tea", "hot", price_minor=200, discount_type="percent", discount_percent=12.5, ends_at=ends_at),
            offer(
                "b",
                starts_at=NOW,
                min_age=18,
                is_sensitive=True,
                is_paused=True,
                is_redeemable=False,
                channels=["push"],
            ),
            offer("c", discount_type="amount", discount_minor=30),
        ],
        NOW,
    )
    it = await catalogue.load(prepared)
    tag_ids = await tags.known(prepared, ["tea", "hot"])
    assert it.tag_ids.tolist() == [
        [*sorted(tag_ids.values()), -1, -1, -1, -1, -1, -1],
        [tag_ids["tea"], -1, -1, -1, -1, -1, -1, -1],
        [tag_ids["tea"], -1, -1, -1, -1, -1, -1, -1],
    ]
    assert it.ids.tolist() == [one.id for one in it.offers] == list(it.index_by_id)
    assert it.starts_at.tolist() == [-np.inf, NOW.timestamp(), -np.inf]
    assert it.ends_at.tolist() == [ends_at.timestamp(), np.inf, np.inf]
    assert it.min_age.tolist() == [0, 18, 0]
    assert it.is_sensitive.tolist() == it.is_paused.tolist() == (~it.is_redeemable).tolist() == [False, True, False]
    sent = 1 << Channel.PUSH | 1 << Channel.WEBHOOK | 1 << Channel.EMAIL
    everywhere = sent | 1 << Channel.IN_APP | 1 << Channel.INBOX
    assert it.channels.tolist() == [everywhere, sent, everywhere]
    assert it.discount_minor.tolist() == [25.0, 0.0, 30.0]
    arrays: list[np.ndarray[Any, Any]] = [it.ids, it.tag_ids, it.starts_at, it.min_age, it.channels, it.price_minor]
    assert [array.dtype for array in arrays] == [np.int32, np.int16, np.float64, np.int16, np.uint8, np.float64]


async def test_the_cache_reloads_when_the_version_has_changed(prepared: asyncpg.Connection) -> None:
    cache = catalogue.CatalogueCache()
    assert (cache.current.version, cache.current.tag_ids.shape) == (0, (0, 8))
    empty = await cache.refresh(prepared)
    assert empty is cache.current
    await offers.put_all(prepared, [offer("a")], NOW)
    loaded = await cache.refresh(prepared)
    assert (loaded.version, await cache.refresh(prepared) is loaded, cache.current is loaded) == (1, True, True)


async def test_a_change_is_told_when_it_is_committed(database: str, prepared: asyncpg.Connection) -> None:
    listener = await asyncpg.connect(database)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await listener.add_listener(offers.CHANNEL, lambda *message: heard.put_nowait(message[-1]))
    await offers.put_all(prepared, [offer("a")], NOW)
    await offers.put_all(prepared, [offer("a")], NOW)
    await offers.delete(prepared, "a")
    assert [await asyncio.wait_for(heard.get(), 5) for _ in range(2)] == ["1", "2"]
    assert heard.empty()
    await listener.close()


async def test_tags_beyond_the_limit_are_left_out(
    prepared: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "TAGS_MAX", 3)
    first = await tags.ensure(prepared, ["Tea ", "tea", "a;b", "", "x" * 65, "nul\x00"])
    assert set(first) == {"Tea ", "tea"}
    assert first["Tea "] == first["tea"]
    later = await tags.ensure(prepared, ["d", "c", "b", "tea"])
    assert set(later) == {"b", "c", "tea"}
    assert later["b"] < later["c"]
    assert await tags.room(prepared) == 0


async def test_tags_made_at_once_by_several_are_one(database: str) -> None:
    pool = await open_pool(database, 4)
    try:

        async def ensure(names: list[str]) -> dict[str, int]:
            async with pool.acquire() as connection, connection.transaction():
                return await tags.ensure(connection, names)

        names = [f"t{n}" for n in range(50)]
        made = await asyncio.gather(ensure(names), ensure(names[::-1]), ensure(names[25:]), ensure(names[:25]))
        assert made[0] == made[1] == made[2] | made[3]
        assert max(made[0].values()) == 50, "no number is wasted"
    finally:
        await pool.close()
