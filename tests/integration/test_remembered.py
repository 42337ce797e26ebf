"""What a writer of events remembers of people and tags saves looking them up, and is never believed against the database."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from service.ingest import writer
from service.store import identify, known_users, merged_state, people
from service.store.identify import Profile
from service.store.known_tags import KnownTags
from service.store.known_users import KnownUsers
from service.store.people import ANONYMOUS, USER, Person, PersonKey, Speaker
from service.store.pool import open_pool
from tests.integration.test_ingest import NOW, entries_of, event

OWNERS = "select u.external_id, count(*) from events e join users u using (user_id) group by 1 order by 1"


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await open_pool(database, 4)
    yield opened
    await opened.close()


async def told_of(pool: asyncpg.Pool) -> list[tuple[str, int]]:
    return [tuple(row) for row in await pool.fetch(OWNERS)]


async def test_people_are_looked_up_once(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    known = writer.Remembered()
    assert await writer.write(pool, [event("1"), event("2", "bob")], remembered=known) == [True, True]

    async def nobody_asks(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(people, "_named", nobody_asks)
    assert await writer.write(pool, [event("3"), event("2", "bob")], remembered=known) == [True, False]
    assert await told_of(pool) == [("ann", 2), ("bob", 1)]


async def test_who_is_gone_is_found_anew_and_the_others_stay(pool: asyncpg.Pool) -> None:
    known = writer.Remembered()
    await writer.write(pool, [event("1"), event("2", "bob")], remembered=known)
    await pool.execute("delete from identities where external_id = 'ann'")
    await pool.execute("delete from users where external_id = 'ann'")
    assert await writer.write(pool, [event("3"), event("4", "bob"), event("5", "eve")], remembered=known) == [True] * 3
    assert await told_of(pool) == [("ann", 1), ("bob", 2), ("eve", 1)]
    assert await pool.fetchval("select count(*) from users") == 3


async def test_a_user_whose_making_was_rolled_back_is_made(pool: asyncpg.Pool) -> None:
    known = writer.Remembered()
    known.users.remember({PersonKey(USER, "ann"): Person(2**40, None, None)})
    assert await writer.write(pool, [event("1")], remembered=known) == [True]
    assert await told_of(pool) == [("ann", 1)]


async def test_a_stranger_who_becomes_known_is_not_mistaken(pool: asyncpg.Pool) -> None:
    known = writer.Remembered()
    stranger = Speaker(PersonKey(ANONYMOUS, "phone"))
    await writer.write(pool, [event("1", speaker=stranger), event("2")], remembered=known)
    async with pool.acquire() as connection, connection.transaction():
        speaker = Speaker(PersonKey(USER, "ann"))
        profile = Profile(None, None, None, {})
        await identify.identify(connection, speaker, "phone", profile, NOW, merge_state=merged_state.merged)
    assert await writer.write(pool, [event("3", speaker=stranger), event("4")], remembered=known) == [True, True]
    assert await told_of(pool) == [("ann", 4)]


def test_of_too_many_users_the_first_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_users, "USERS_MAX", 2)
    known = KnownUsers()
    keys = [PersonKey(USER, name) for name in "abc"]
    known.remember({key: Person(number, None, None) for number, key in enumerate(keys)})
    assert known.of(keys) == {keys[1]: (1, None), keys[2]: (2, None)}
    known.remember({PersonKey(ANONYMOUS, "c"): Person(9, None, None)})
    assert known.of([PersonKey(ANONYMOUS, "c"), keys[2]]) == {keys[2]: (2, None)}


async def test_tags_are_looked_up_until_they_are_known(pool: asyncpg.Pool) -> None:
    known = writer.Remembered()
    await writer.write(pool, [event("1", tags=("Milk",), makes_tags=False)], remembered=known)
    await writer.write(pool, [event("2", tags=("milk", "tea"))], remembered=known)
    await writer.write(pool, [event("3", tags=("Milk", "tea"), makes_tags=False)], remembered=known)
    await writer.write(pool, [event("4", tags=("Milk", "salt"))], remembered=known)
    ids = dict(await pool.fetch("select tag, tag_id from tags"))
    assert [entry.tag_ids for entry in await entries_of(pool)] == [
        (),
        *[(ids["milk"], ids["tea"])] * 2,
        (ids["milk"], ids["salt"]),
    ]


async def test_tags_that_are_known_ask_nobody(pool: asyncpg.Pool) -> None:
    tags = KnownTags()
    async with pool.acquire() as connection:
        first = await tags.of_events(connection, {"milk", "no;tag"}, {"milk", "no;tag"})
    assert first.keys() == {"milk"}
    assert await tags.of_events(None, {"milk"}, set()) == first
