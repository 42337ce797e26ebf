"""Events by COPY and their keys by plain INSERT: what is written is what was told, and what was told before is found out."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from schema.ids import stable_entropy, uuid7
from service.ingest import writer
from service.ingest.writer import CAREFUL_FOR, Haste, Remembered
from service.store import event_ids, event_rows, events
from service.store.event_rows import StoredEvent
from service.store.pool import open_pool
from tests.integration.test_ingest import NOW, event

INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))
KEY = UUID("0192d3a4-5b6c-4d7e-8f90-a1b2c3d4e5f6")


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await open_pool(database, 2)
    yield opened
    await opened.close()


def row(number: int, at: datetime, properties: object, offer_id: int | None, decision_id: UUID | None) -> StoredEvent:
    event_id = event_ids.id_of(number, KEY, NOW)
    return StoredEvent(
        number, event_id, 2, at, NOW, offer_id, decision_id, number % 64, json.dumps(properties).encode()
    )


async def test_rows_are_written_as_they_are(pool: asyncpg.Pool) -> None:
    properties = [{}, {"a": "ä€🙂", "b": [1, 2.5, None, True], "c": {"d": 10**30}}, {"x": "y" * 30_000}]
    instants = [NOW, datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)]
    rows = [
        row(2**40 + number, at, told, offer_id, decision_id)
        for number, (at, told, offer_id, decision_id) in enumerate(
            (at, told, offer_id, decision_id)
            for at in instants
            for told in properties
            for offer_id in (None, 0, 2**31 - 1)
            for decision_id in (None, KEY)
        )
    ]
    async with pool.acquire() as connection:
        await events.insert(connection, [])
        await events.insert(connection, rows)
        names = ", ".join(StoredEvent.__struct_fields__[:-1])
        found = await connection.fetch(f"select {names}, properties::text from events order by user_id")
    assert [msgspec.structs.replace(each, properties=b"") for each in rows] == [
        StoredEvent(*each[:-1], properties=b"") for each in found
    ]
    assert [json.loads(each.properties) for each in rows] == [json.loads(each["properties"]) for each in found]
    assert set(event_rows.COLUMNS) == set(StoredEvent.__struct_fields__)


async def test_what_was_told_before_is_found_out_by_the_hasty_too(pool: asyncpg.Pool) -> None:
    known = Remembered()
    assert await writer.write(pool, [event("a"), event("b"), event("a")], remembered=known) == [True, True, False]
    assert await writer.write(pool, [event("c"), event("b")], remembered=known) == [True, False]
    assert not known.haste.is_on()
    assert await writer.write(pool, [event("c"), event("d")], remembered=known) == [False, True]
    assert await pool.fetchval("select count(*) from events") == 4
    assert await pool.fetchval("select count(*) from event_keys") == 4


def test_haste_returns() -> None:
    haste = Haste()
    assert haste.is_on()
    haste.stumbled()
    assert [haste.is_on() for _ in range(CAREFUL_FOR)] == [False] * (CAREFUL_FOR - 1) + [True]
    assert haste.is_on()


def test_ids_and_keys_are_those_of_earlier_releases() -> None:
    for number in (1, 255, 2**40):
        for key in (KEY, UUID(int=0), UUID(int=2**128 - 1)):
            entropy = stable_entropy(number.to_bytes(8, "little"), key.bytes)
            assert event_ids.id_of(number, key, NOW) == uuid7(NOW, entropy)
    before = UUID("01a1fdfa-4600-7c70-b763-dff56e6fc3c9")
    assert event_ids.id_of(2**40, KEY, datetime(2026, 11, 21, 12, tzinfo=UTC)) == before
    spelled = [str(KEY), str(KEY).upper(), KEY.hex, f"{{{KEY}}}", f"urn:uuid:{KEY}"]
    assert {event_ids.key_of(text) for text in spelled} == {KEY}
    assert event_ids.key_of("order-17") == UUID("2e75e6f9-5189-66ca-271e-642269e49478")


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.uuids(), INSTANTS), max_size=20))
def test_ids_of_many_are_those_of_each(told: list[tuple[int, UUID, datetime]]) -> None:
    keys = [(user_id, key) for user_id, key, _ in told]
    found = event_ids.ids_of(keys, [at for *_, at in told])
    assert found == [event_ids.id_of(user_id, key, at) for user_id, key, at in told]


@given(st.lists(st.tuples(st.integers(1, 3), st.uuids()), max_size=20))
def test_keys_are_claimed_in_their_order(claimed: list[tuple[int, UUID]]) -> None:
    rows = event_rows.keys(claimed, NOW)
    found = [
        (int(user_id), UUID(bytes=key.tobytes()))
        for user_id, key in zip(rows["user_id"], rows["event_key"], strict=True)
    ]
    assert found == sorted(claimed)
