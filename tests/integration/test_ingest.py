"""Events through the buffer into a real PostgreSQL: nothing twice, nothing lost, nobody stopped by another's fault."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from schema.event import EventType
from service.errors import ApiError
from service.ingest import writer
from service.ingest.buffer import EventBuffer
from service.ingest.checked import CheckedEvent
from service.store import event_log
from service.store.event_ids import key_of
from service.store.people import ANONYMOUS, USER, PersonKey, Speaker
from service.store.pool import open_pool

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def event(name: str, user: str = "ann", **changes: Any) -> CheckedEvent:
    plain = CheckedEvent(
        speaker=Speaker(PersonKey(USER, user)),
        event_key=key_of(name),
        type=EventType.PURCHASE,
        occurred_at=NOW - timedelta(minutes=5),
        received_at=NOW,
        offer_id=None,
        decision_id=None,
        slot=0,
        tags=(),
        makes_tags=True,
        properties=b"{}",
    )
    return msgspec.structs.replace(plain, **changes)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await open_pool(database, 8)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def buffer(pool: asyncpg.Pool) -> AsyncIterator[EventBuffer]:
    opened = EventBuffer(pool, 20_000, writer.write)
    opened.open()
    yield opened
    await opened.close()


async def entries_of(pool: asyncpg.Pool) -> list[Any]:
    async with pool.acquire() as connection:
        batches, _ = await event_log.read(connection, dict.fromkeys(range(64), 0))
    return [entry for batch in batches for entry in batch.entries]


async def test_an_event_reaches_its_table_and_the_log(pool: asyncpg.Pool, buffer: EventBuffer) -> None:
    decision = uuid4()
    told = event("e1", tags=("milk", "Milk"), offer_id=3, decision_id=decision, slot=2, properties=b'{"amount": 5}')
    assert await buffer.submit([told]) == [True]
    row = await pool.fetchrow("select e.*, u.external_id from events e join users u using (user_id)")
    assert (row["external_id"], row["type"], row["offer_id"], row["decision_id"], row["slot"]) == (
        "ann",
        1,
        3,
        decision,
        2,
    )
    assert row["properties"] == {"amount": 5}
    (entry,) = await entries_of(pool)
    assert (entry.event_id, entry.user_id, entry.occurred_at) == (row["event_id"], row["user_id"], told.occurred_at)
    assert entry.tag_ids == (await pool.fetchval("select tag_id from tags where tag = 'milk'"),)
    assert (entry.offer_id, entry.decision_id, entry.slot, entry.local_hour) == (3, decision, 2, -1)


async def test_the_local_hour_is_that_of_the_persons_clock(pool: asyncpg.Pool, buffer: EventBuffer) -> None:
    await buffer.submit([event("e1")])
    await pool.execute("update users set time_zone = 'Asia/Tokyo'")
    await buffer.submit([event("e2")])
    hours = [entry.local_hour for entry in await entries_of(pool)]
    assert hours == [-1, 5 * 24 + 20]  # Saturday 11:55 UTC is 20:55 in Tokyo


async def test_the_clock_of_a_person_without_a_zone_is_that_of_the_device_seen_last(
    pool: asyncpg.Pool, buffer: EventBuffer
) -> None:
    await buffer.submit([event("e1"), event("e2", user="bob")])
    zones = [("a", "Asia/Tokyo", 3), ("b", None, 1), ("c", "Europe/Berlin", 2), ("d", "Asia/Tokyo", 9)]
    for device, zone, days_ago in zones:
        await pool.execute(
            """insert into devices (user_id, device_id, address, address_kind, platform, time_zone, address_updated_at, last_seen_at)
               select user_id, $1, $1, 'token', 'ios', $2, $3, $3 from users where external_id = 'ann'""",
            *(device, zone, NOW - timedelta(days=days_ago)),
        )
    await buffer.submit([event("e3"), event("e4", user="bob")])
    hours = Counter(entry.local_hour for entry in await entries_of(pool))
    assert hours == {-1: 3, 5 * 24 + 12: 1}  # Saturday 11:55 UTC is 12:55 in Berlin


async def test_repeats_are_duplicates_inside_a_batch_and_after_it(pool: asyncpg.Pool, buffer: EventBuffer) -> None:
    assert await buffer.submit([event("e1"), event("e1"), event("e2"), event("e1", user="bob")]) == [
        True,
        False,
        True,
        True,
    ]
    assert await buffer.submit([event("e1"), event("e3")]) == [False, True]
    assert await pool.fetchval("select count(*) from events") == 4
    assert len(await entries_of(pool)) == 4


async def test_two_workers_and_32_clients_count_every_event_once(pool: asyncpg.Pool, database: str) -> None:
    buffers = [EventBuffer(pool, 20_000, writer.write) for _ in range(2)]
    for one in buffers:
        one.open()
    accepted: Counter[tuple[str, str]] = Counter()

    async def client(number: int) -> None:
        for turn in range(6):
            # Every event is sent by four clients, in another order and through another worker each time.
            names = [(f"e{turn}-{number // 4}-{i}", f"user{(number // 4 + i) % 11}") for i in range(20)]
            names = names[number % 4 :] + names[: number % 4]
            kind = ANONYMOUS if turn % 2 else USER
            batch = [
                event(name, speaker=Speaker(PersonKey(kind, user)), tags=(f"tag{number % 5}",)) for name, user in names
            ]
            outcomes = await buffers[number % 2].submit(batch if number % 3 else batch[::-1])
            order = names if number % 3 else names[::-1]
            accepted.update(name for name, is_new in zip(order, outcomes, strict=True) if is_new)

    await asyncio.gather(*map(client, range(32)))
    for one in buffers:
        await one.close()
    assert set(accepted.values()) == {1}
    assert len(accepted) == 8 * 6 * 20
    assert await pool.fetchval("select count(*) from events") == len(accepted)
    assert len({entry.event_id for entry in await entries_of(pool)}) == len(accepted)
    assert (
        await pool.fetchval("select count(*) from users")
        == await pool.fetchval("select count(*) from identities")
        == 22
    )


async def test_a_full_queue_refuses_and_recovers(pool: asyncpg.Pool) -> None:
    gate = asyncio.Event()

    async def slow(pool: Any, batch: Sequence[CheckedEvent]) -> list[bool]:
        await gate.wait()
        return await writer.write(pool, batch)

    buffer = EventBuffer(pool, 5, slow)
    buffer.open()
    waiting = [asyncio.create_task(buffer.submit([event(f"e{i}"), event(f"f{i}")])) for i in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as caught:
        await buffer.submit([event("g0"), event("g1")])
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "overloaded", 1)
    gate.set()
    assert await asyncio.gather(*waiting) == [[True, True], [True, True]]
    assert await buffer.submit([event("g0"), event("g1")]) == [True, True]
    await buffer.close()


async def test_two_batches_are_written_at_once(pool: asyncpg.Pool) -> None:
    gate, begun = asyncio.Event(), []

    async def slow(pool: Any, batch: Sequence[CheckedEvent]) -> list[bool]:
        begun.append(len(batch))
        await gate.wait()
        return await writer.write(pool, batch)

    buffer = EventBuffer(pool, 100, slow)
    buffer.open()
    waiting = []
    for number in range(4):
        waiting.append(asyncio.create_task(buffer.submit([event(f"e{number}")])))
        for _ in range(10):
            await asyncio.sleep(0)
    assert begun == [1, 1]
    gate.set()
    assert await asyncio.gather(*waiting) == [[True]] * 4
    assert begun == [1, 1, 2]
    await buffer.close()


async def test_a_poisonous_request_fails_alone(pool: asyncpg.Pool, buffer: EventBuffer) -> None:
    poison = event("p", properties=b'{"a": "\\u0000"}')
    first = asyncio.create_task(buffer.submit([event("e0")]))
    await asyncio.sleep(0)
    outcomes = await asyncio.gather(
        first,
        buffer.submit([event("e1")]),
        buffer.submit([event("e2"), poison]),
        buffer.submit([event("e3")]),
        return_exceptions=True,
    )
    assert outcomes[:2] + outcomes[3:] == [[True], [True], [True]]
    assert isinstance(outcomes[2], asyncpg.PostgresError)
    assert await pool.fetchval("select count(*) from events") == 3
    assert await buffer.submit([event("e2")]) == [True]


async def test_a_cancelled_request_is_written_once(pool: asyncpg.Pool, buffer: EventBuffer) -> None:
    tasks = [asyncio.create_task(buffer.submit([event(f"e{i}")])) for i in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    again = await buffer.submit([event(f"e{i}") for i in range(20)])
    assert again == [False] * 20
    assert await pool.fetchval("select count(*) from events") == 20


async def test_closing_drains_and_then_refuses(pool: asyncpg.Pool) -> None:
    buffer = EventBuffer(pool, 20_000, writer.write)
    buffer.open()
    tasks = [asyncio.create_task(buffer.submit([event(f"e{i}")])) for i in range(50)]
    await asyncio.sleep(0)
    await buffer.close()
    assert [task.result() for task in tasks] == [[True]] * 50
    with pytest.raises(ApiError, match="stopping"):
        await buffer.submit([event("late")])


async def test_without_a_database_everybody_hears_503(pool: asyncpg.Pool, buffer: EventBuffer) -> None:
    await pool.close()
    outcomes = await asyncio.gather(*(buffer.submit([event(f"e{i}")]) for i in range(3)), return_exceptions=True)
    assert [outcome.status for outcome in outcomes if isinstance(outcome, ApiError)] == [503] * 3
