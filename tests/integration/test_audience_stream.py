"""An audience as COPY sends it: fields of fixed width give back what was kept, and parameters stay parameters."""

from collections.abc import AsyncIterator

import asyncpg
import numpy as np
import pytest

from bandits.rhythm import RECORD, Rhythm
from push.contact.quiet_hours import Window
from push.planning import audience
from push.planning.audience import People, Place
from push.planning.local_window import Clock
from schema.audience import Audience
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.push_world import NOW

ZONES = [None, "UTC", "Europe/Berlin", "x" * 80, "Zürich/" + "ü" * 60, "Asia/Kolkata"]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 2) as pool:
        yield pool


async def blocks(pool: asyncpg.Pool, people_max: int, wanted: Audience | None = None, after: int = 0) -> list[People]:
    found: list[People] = []

    async def take(people: People) -> None:
        found.append(people)

    await audience.stream(pool, wanted or Audience(), NOW, Place(after, people_max), RECORD.itemsize, take)
    return found


async def test_clocks_and_rhythms_are_those_of_each_person(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 6)
    for user_id, zone in enumerate(ZONES, 1):
        await pool.execute("update users set time_zone = $2 where user_id = $1", user_id, zone)
    await pool.execute("update users set quiet_minutes = '{720,780}' where user_id in (2, 6)")
    rhythm = Rhythm()
    rhythm.visited(3, NOW.timestamp())
    kept = {1: rhythm.pack(), 3: b"short", 4: rhythm.pack() * 2, 5: b""}
    for user_id, packed in kept.items():
        await pool.execute("insert into user_state values ($1, '', $2, $3)", user_id, packed, NOW)
    (people,) = await blocks(pool, 10)
    assert people.user_ids.tolist() == [1, 2, 3, 4, 5, 6]
    clocks = [people.clocks[number] for number in people.clock]
    lunch = (Window(720, 780),)
    assert [clock.quiet for clock in clocks] == [(), lunch, (), (), (), lunch]
    assert [clocks[place].zone for place in (0, 1, 2, 5)] == [None, "UTC", "Europe/Berlin", "Asia/Kolkata"]
    assert clocks[3] == Clock("x" * audience.ZONE_BYTES)
    assert (clocks[4].zone or "").startswith("Zürich/üü")
    assert people.rhythms.sizes.tolist() == [len(kept.get(user_id, b"")) for user_id in range(1, 7)]
    blank = bytes(RECORD.itemsize)
    assert [one.tobytes() for one in people.rhythms.packed] == [rhythm.pack(), *[blank] * 5]


@pytest.mark.parametrize("people_max", [1, 4, 5, 10, 11])
async def test_blocks_follow_each_other_without_a_gap(pool: asyncpg.Pool, people_max: int) -> None:
    await push_world.people(pool, 12)
    found = await blocks(pool, people_max, after=2)
    assert np.concatenate([people.user_ids for people in found]).tolist() == list(range(3, 13))
    assert all(len(people.user_ids) == people_max for people in found[:-1])
    assert len(found[-1].user_ids) == 10 % people_max


async def test_what_a_rule_says_is_never_taken_for_a_statement(pool: asyncpg.Pool) -> None:
    """COPY takes no parameters: what stands in quotes, and what looks like one of our own, is found as it is."""
    await push_world.people(pool, 4)
    odd = ["o'brien", "a\\", "$1", "'); drop table users; --"]
    for user_id, tag in enumerate(odd, 1):
        await pool.execute("update users set tags = array[$2::text] where user_id = $1", user_id, tag)
    for user_id, tag in enumerate(odd, 1):
        (people,) = await blocks(pool, 10, Audience(tags_any=[tag]))
        assert people.user_ids.tolist() == [user_id]
    (everybody,) = await blocks(pool, 10, Audience(tags_any=odd))
    assert everybody.user_ids.tolist() == [1, 2, 3, 4]
