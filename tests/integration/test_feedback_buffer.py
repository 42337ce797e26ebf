"""Many answers at once: one transaction for all of them, and each is told what became of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from schema.event import EventType
from schema.ids import partition_of, uuid7
from service.errors import ApiError
from service.ingest.feedback_buffer import FeedbackBuffer
from service.store import events, people, pool
from service.store.event_rows import StoredEvent
from service.store.feedback import Answered, Applied, NoSuchDecision, NoSuchSlot
from service.store.people import ANONYMOUS, USER, PersonKey, Speaker
from tests.integration.test_feedback import INSERT

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PEOPLE = 24


def decision_of(number: int) -> UUID:
    return uuid7(NOW - timedelta(hours=1), number.to_bytes(10))


def name_of(number: int) -> Speaker:
    return Speaker(PersonKey(USER, f"person-{number}"))


def told(who: Speaker | int, number: int, kind: EventType = EventType.OPENED, slot: int = 0) -> Answered:
    return Answered(who, decision_of(number), slot, kind, None, NOW)


@pytest_asyncio.fixture
async def opened(database: str) -> AsyncIterator[asyncpg.Pool]:
    """PEOPLE, each with a decision that showed offers 11 and 12."""
    async with await pool.open_pool(database, 6) as made:
        async with made.acquire() as connection, connection.transaction():
            found = await people.ensure(connection, [name_of(n).key for n in range(PEOPLE)], NOW)
            for number in range(PEOPLE):
                await connection.execute(INSERT, found[name_of(number).key].user_id, decision_of(number), 1)
        yield made


@pytest_asyncio.fixture
async def buffer(opened: asyncpg.Pool) -> AsyncIterator[FeedbackBuffer]:
    made = FeedbackBuffer(opened, events.nothing)
    made.open()
    yield made
    await made.close()


async def submit(buffer: FeedbackBuffer, answers: Sequence[Answered]) -> list[Any]:
    return await asyncio.gather(*(buffer.submit(one) for one in answers), return_exceptions=True)


async def user_of(opened: asyncpg.Pool, number: int) -> Any:
    query = "select u.* from users u join identities i using (user_id) where i.external_id = $1"
    return await opened.fetchrow(query, f"person-{number}")


async def test_a_batch_is_one_entry_of_the_log_for_each_partition(opened: asyncpg.Pool, buffer: FeedbackBuffer) -> None:
    results = await submit(buffer, [told(name_of(n), n) for n in range(PEOPLE)])
    users = [(await user_of(opened, n))["user_id"] for n in range(PEOPLE)]
    assert [result.log_place for result in results] == [(partition_of(user_id), 1) for user_id in users]
    assert await opened.fetchval("select count(*) from event_log") == len({*map(partition_of, users)})
    assert await opened.fetchval("select count(*) from events") == PEOPLE


async def test_each_is_told_what_became_of_its_own(opened: asyncpg.Pool, buffer: FeedbackBuffer) -> None:
    by_token = (await user_of(opened, 3))["user_id"]
    answers = [
        told(name_of(0), 0),
        told(name_of(1), 0),  # of somebody else
        told(name_of(1), 1, slot=2),
        told(Speaker(PersonKey(USER, "never heard of")), 1),
        told(by_token, 3),
        told(10**9, 3),
        told(name_of(0), 0),  # once more
        told(name_of(0), 0, EventType.THUMBS_DOWN),
    ]
    results = await submit(buffer, answers)
    kinds = [type(one) for one in results]
    assert kinds == [
        Applied, NoSuchDecision, NoSuchSlot, NoSuchDecision, Applied, NoSuchDecision, Applied, Applied
    ]  # fmt: skip
    assert [one.log_place is not None for one in results if isinstance(one, Applied)] == [True, True, False, True]
    assert await opened.fetchval("select count(*) from events") == 3


async def test_who_may_not_speak_for_a_person_is_refused_alone(opened: asyncpg.Pool, buffer: FeedbackBuffer) -> None:
    user_id = (await user_of(opened, 0))["user_id"]
    await opened.execute(
        "insert into identities (kind, external_id, user_id, linked_at) values (1, 'phone', $1, $2)", user_id, NOW
    )
    stranger = Speaker(PersonKey(ANONYMOUS, "phone"), is_bounded=True)
    refused, applied = await submit(buffer, [told(stranger, 0), told(name_of(1), 1)])
    assert isinstance(refused, ApiError)
    assert refused.status == 403
    assert isinstance(applied, Applied)


async def test_all_that_one_person_forbids_at_once_holds(opened: asyncpg.Pool, buffer: FeedbackBuffer) -> None:
    await opened.execute(
        "update users set vetoed_offer_ids = '{12}', snoozed_offer_ids = '{7,8,11}', snoozed_until = $1 where external_id = 'person-0'",
        [NOW - timedelta(days=1), NOW + timedelta(days=3), NOW + timedelta(days=1)],
    )
    kinds = [EventType.THUMBS_DOWN, EventType.NOT_NOW, EventType.OPTED_OUT]
    results = await submit(buffer, [told(name_of(0), 0, kind, slot) for kind in kinds for slot in (0, 1)])
    after = await user_of(opened, 0)
    assert after["vetoed_offer_ids"] == [12, 11]
    until = NOW + timedelta(days=14)
    assert dict(zip(after["snoozed_offer_ids"], after["snoozed_until"], strict=True)) == {
        8: NOW + timedelta(days=3),
        11: until,
        12: until,
    }
    assert (after["has_push_consent"], after["opted_out_at"]) == (False, NOW)
    assert after["version"] == 1
    assert {one.applied_through for one in results} == {after["feedback_applied_through"]} == {NOW}
    assert (await user_of(opened, 1))["version"] == 0


async def test_one_that_cannot_be_applied_fails_alone(opened: asyncpg.Pool) -> None:
    async def react(_connection: Any, rows: Sequence[StoredEvent]) -> None:
        if any(row.type == EventType.THUMBS_UP for row in rows):
            raise ValueError("not this one")

    buffer = FeedbackBuffer(opened, react)
    buffer.open()
    good = [told(name_of(n), n) for n in range(1, PEOPLE)]
    failed, *results = await submit(buffer, [told(name_of(0), 0, EventType.THUMBS_UP), *good])
    await buffer.close()
    assert isinstance(failed, ValueError)
    assert all(isinstance(one, Applied) and one.log_place is not None for one in results)
    assert await opened.fetchval("select count(*) from events") == PEOPLE - 1


@pytest.mark.parametrize("kind", [EventType.OPENED, EventType.THUMBS_DOWN])
async def test_two_processes_with_the_same_people_do_not_wait_for_each_other_for_ever(
    opened: asyncpg.Pool, kind: EventType
) -> None:
    buffers = [FeedbackBuffer(opened, events.nothing) for _ in range(2)]
    for one in buffers:
        one.open()
    ids = {n: (await user_of(opened, n))["user_id"] for n in range(PEOPLE)}
    forth = [told(name_of(n), n, kind) for n in range(PEOPLE)]
    back = [told(ids[n] if n % 2 else name_of(n), n, kind) for n in reversed(range(PEOPLE))]
    for _ in range(5):
        one, other = await asyncio.gather(submit(buffers[0], forth), submit(buffers[1], back))
        assert all(isinstance(result, Applied) for result in (*one, *other))
    for made in buffers:
        await made.close()
    assert await opened.fetchval("select count(*) from events") == PEOPLE
