"""What a writer of events remembers of people and tags saves looking them up, and is forgotten when PostgreSQL tells that it has changed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from schema.user import Device
from service.ingest import writer
from service.store import devices, identify, known_users, merged_state, people
from service.store.identify import Profile
from service.store.known_tags import KnownTags
from service.store.known_users import KnownUsers
from service.store.people import ANONYMOUS, USER, Person, PersonKey, Speaker
from service.store.pool import open_pool
from service.store.pulse import Pulse
from tests.integration.test_ingest import NOW, entries_of, event

HOUR = timedelta(hours=1)
OWNERS = "select u.external_id, count(*) from events e join users u using (user_id) group by 1 order by 1"


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await open_pool(database, 4)
    yield opened
    await opened.close()


def known_among(known: KnownUsers, keys: Iterable[PersonKey]) -> dict[PersonKey, Person]:
    asked = list(keys)
    return {key: person for key, person in zip(asked, known.each(asked), strict=True) if person is not None}


async def told_of(pool: asyncpg.Pool) -> list[tuple[str, int]]:
    return [tuple(row) for row in await pool.fetch(OWNERS)]


async def test_people_are_looked_up_once(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    known = writer.Remembered()
    assert await writer.write(pool, [event("1"), event("2", "bob")], remembered=known) == [True, True]

    async def nobody_asks(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(people, "_named", nobody_asks)
    monkeypatch.setattr(people, "_shared", nobody_asks)
    assert await writer.write(pool, [event("3"), event("2", "bob")], remembered=known) == [True, False]
    assert await told_of(pool) == [("ann", 2), ("bob", 1)]


async def test_who_is_gone_is_found_anew_and_the_others_stay(pool: asyncpg.Pool) -> None:
    known = writer.Remembered()
    await writer.write(pool, [event("1"), event("2", "bob")], remembered=known)
    (gone,) = await pool.fetchrow("delete from users where external_id = 'ann' returning user_id")
    await pool.execute("delete from identities where external_id = 'ann'")
    known.users.has_changed(gone)
    assert await writer.write(pool, [event("3"), event("4", "bob"), event("5", "eve")], remembered=known) == [True] * 3
    assert await told_of(pool) == [("ann", 1), ("bob", 2), ("eve", 1)]
    assert await pool.fetchval("select count(*) from users") == 3


async def test_a_user_whose_making_was_rolled_back_is_made(pool: asyncpg.Pool) -> None:
    async def fail(*_: object) -> None:
        raise ConnectionError

    known = writer.Remembered()
    with pytest.raises(ConnectionError):
        await writer.write(pool, [event("1")], fail, known)
    assert await writer.write(pool, [event("1")], remembered=known) == [True]
    assert await told_of(pool) == [("ann", 1)]


async def told_soon(heard: list[int], *user_ids: int) -> None:
    """They are told of, and nobody else is."""
    async with asyncio.timeout(5):
        while set(heard) != set(user_ids):
            await asyncio.sleep(0.01)
    heard.clear()


async def test_whose_clock_changes_is_told(pool: asyncpg.Pool, database: str) -> None:
    heard: list[int] = []
    listening = asyncio.Event()
    pulse = Pulse(database)
    pulse.hear(people.CHANNEL, lambda user_id: heard.append(int(user_id)), listening.set)
    stop = asyncio.Event()
    feeling = asyncio.create_task(pulse.feel(stop))
    await listening.wait()
    ann, bob = PersonKey(USER, "ann"), PersonKey(USER, "bob")
    async with pool.acquire() as connection:
        async with connection.transaction():
            found = await people.ensure(connection, [ann, bob], NOW)
        a, b = found[ann].user_id, found[bob].user_id
        await devices.put(connection, ann, "phone", device("t1", "Asia/Tokyo"), NOW)
        await told_soon(heard, a)
        await devices.put(connection, ann, "phone", device("t1", "Asia/Tokyo"), NOW + HOUR)  # nothing has changed
        await devices.put(connection, bob, "old", device("t2", None), NOW)  # nor does this say where they are
        await devices.put(connection, bob, "new", device("t4", "Asia/Tokyo"), NOW)
        await told_soon(heard, b)
        await devices.put(connection, ann, "tablet", device("t3", "Europe/Rome"), NOW + 2 * HOUR)
        await told_soon(heard, a)
        await devices.put(connection, ann, "phone", device("t1", "Asia/Tokyo"), NOW + 3 * HOUR)  # the one seen last
        await told_soon(heard, a)
        await devices.put(connection, bob, "new", device("t3", "Europe/Rome"), NOW)  # the tablet was given away
        await told_soon(heard, a, b)
        await devices.delete(connection, bob, "new", NOW)
        await told_soon(heard, b)
        told = Profile("Europe/Paris", None, None, {})
        await identify.identify(connection, Speaker(bob), None, told, NOW, merge_state=merged_state.merged)
        await told_soon(heard, b)
    stop.set()
    await feeling


def device(token: str, time_zone: str | None) -> Device:
    return Device(user_id="whoever", token=token, platform="android", time_zone=time_zone)


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
    found = {key: Person(number, None, None) for number, key in enumerate(keys)}
    known.remember(found, known.mark())
    assert known_among(known, keys) == {key: found[key] for key in keys[1:]}
    known.remember({PersonKey(ANONYMOUS, "c"): Person(9, None, None)}, known.mark())
    assert known_among(known, [PersonKey(ANONYMOUS, "c"), keys[2]]) == {keys[2]: found[keys[2]]}


def test_who_changes_while_they_are_read_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_users, "CHANGED_MAX", 2)
    known = KnownUsers()
    ann, bob = (PersonKey(USER, name) for name in ("ann", "bob"))
    found = {ann: Person(1, None, None), bob: Person(2, None, None)}
    mark = known.mark()
    known.has_changed(1)
    known.remember(found, mark)
    assert known_among(known, found) == {bob: found[bob]}
    known.remember(found, known.mark())  # read again
    assert known_among(known, found) == found
    known.has_changed(2)
    assert known_among(known, found) == {ann: found[ann]}
    anew = found | {bob: Person(2, "Europe/Rome", None)}
    before, mark = mark, known.mark()
    known.remember(anew, mark)
    known.remember(found, before)  # began earlier and ends later
    assert known_among(known, found) == anew
    known.forget_all()
    known.remember(found, mark)
    assert known_among(known, found) == {}
    known.remember(found, known.mark())
    assert known_among(known, found) == found
    for user_id in range(1, 4):  # more than are told apart
        known.has_changed(user_id)
    assert known_among(known, found) == {}


def test_who_is_not_told_of_changes_knows_nobody() -> None:
    is_told = True
    known = KnownUsers(lambda: is_told)
    found = {PersonKey(USER, "ann"): Person(1, None, None)}
    known.remember(found, known.mark())
    assert known_among(known, found) == found
    is_told = False
    assert known_among(known, found) == {}


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
