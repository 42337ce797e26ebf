"""What a request may take from PostgreSQL, with the limits made short: who waits too long for a lock, or on a statement, is told 503, and nothing of it is written."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import httpx
import pytest

from service.store import pool
from tests.integration.serving import Api, serving

SHORT_LOCK_S: Final = 0.3
SHORT_STATEMENT_S: Final = 2.0
"""All else that a worker asks has to be done in it, on a busy machine too."""

Ask = Callable[[Api], Any]

# All that one of the requests below writes to.
_WRITTEN: Final = """
    select (select version from catalogue_head) as catalogue, (select count(*) from offers) as offers,
           (select count(*) from offer_versions) as versions, (select count(*) from tags) as tags,
           (select sum(redemptions_max)::bigint from allowances) as limits, (select sum(redeemed)::bigint from allowances) as redeemed,
           (select count(*) from redemptions) as redemptions, (select count(*) from idempotency_keys) as answered,
           (select count(*) from users) as users, (select count(*) from identities) as identities, (select count(*) from events) as events,
           (select count(*) from event_keys) as event_keys, (select sum(seq)::bigint from event_log_heads) as entries,
           (select count(*) from event_log) as log, (select count(*) from audit_log) as acts
"""
_WAITING: Final = """
    select count(*) from pg_stat_activity where datname = current_database() and (wait_event = 'PgSleep' or wait_event_type = 'Lock')
"""
# A statement that hangs, after what its transaction wrote before it.
_HANGS: Final = """
    create function hangs() returns trigger language plpgsql as 'begin perform pg_sleep(600); return null; end';
    create trigger hangs after insert or update on {table} for each row execute function hangs();
"""
_HANGS_NO_MORE: Final = "drop trigger hangs on {table}; drop function hangs()"


async def replace_offer(api: Api) -> httpx.Response:
    body = {"offer_id": "milk", "creative": {"title": "Milk"}, "tags": ["milk", "new"], "redemptions_max": 7}
    return await api.put("/v1/offers/milk", json=body)


async def tell_event(api: Api, event_id: str = "e-1") -> httpx.Response:
    now = datetime.now(UTC).isoformat()
    sent = {
        "event_id": event_id,
        "type": "purchase",
        "user_id": "bob",
        "occurred_at": now,
        "properties": {"tags": ["milk"]},
    }
    return await api.post("/v1/events", json={"sent_at": now, "batch": [sent]})


async def redeem(api: Api) -> httpx.Response:
    body = {"user_id": "cleo", "offer_id": "milk"}
    return await api.post("/v1/redemptions", json=body, headers={"Idempotency-Key": "sale-1"})


# By what is asked: the rows that somebody holds, or the table at which it hangs; each is reached after something was written.
HELD: Final[dict[Ask, str]] = {
    replace_offer: "select from allowances for update",
    tell_event: "select from event_log_heads for update",
    redeem: "select from allowances for update",
}
HANGING: Final[dict[Ask, str]] = {replace_offer: "allowances", tell_event: "event_log_heads", redeem: "redemptions"}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """One limit, by the name and value that the test is marked with; the other is as ever."""
    name, value_s = request.param
    monkeypatch.setattr(pool, name, value_s)


@pytest.fixture
async def api(short: None, database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        served.headers.update(await served.key("sk", "admin"))
        body = {"offer_id": "milk", "creative": {"title": "Milk"}, "tags": ["milk"], "redemptions_max": 3}
        assert (await served.put("/v1/offers/milk", json=body)).status_code == 201
        yield served


async def written(connection: asyncpg.Connection) -> dict[str, int]:
    return dict(await connection.fetchrow(_WRITTEN))


async def assert_refused(asked: Ask, api: Api, connection: asyncpg.Connection, before: dict[str, int]) -> None:
    """In words and with the seconds after which to try again; of what it wrote nothing is left, and nothing of it runs on."""
    answer = await asked(api)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    assert int(answer.headers["retry-after"]) >= 1
    assert await written(connection) == before
    assert await connection.fetchval(_WAITING) == 0


async def assert_done_now(asked: Ask, api: Api, connection: asyncpg.Connection, before: dict[str, int]) -> None:
    """The same again is done as if it had never been asked."""
    answer = await asked(api)
    assert answer.is_success, answer.text
    if asked is tell_event:
        assert answer.json()["accepted"] == 1, answer.text
    assert await written(connection) != before


@pytest.mark.parametrize("short", [("LOCK_S", SHORT_LOCK_S)], indirect=True, ids=["lock"])
@pytest.mark.parametrize("asked", HELD)
async def test_who_waits_too_long_for_a_lock_is_told_so(api: Api, connection: asyncpg.Connection, asked: Ask) -> None:
    before = await written(connection)
    async with connection.transaction():
        await connection.execute(HELD[asked])
        await assert_refused(asked, api, connection, before)
    await assert_done_now(asked, api, connection, before)


@pytest.mark.parametrize("short", [("LOCK_S", SHORT_LOCK_S)], indirect=True, ids=["lock"])
async def test_of_those_who_are_told_together_one_alone_waits_again(api: Api, connection: asyncpg.Connection) -> None:
    """A worker writes all that comes meanwhile in one batch: were each of it to wait by itself, nobody else were served for minutes."""
    people = 40
    async with connection.transaction():
        await connection.execute(HELD[tell_event])
        first = asyncio.create_task(tell_event(api, "e-0"))
        await asyncio.sleep(SHORT_LOCK_S / 3)
        begun = asyncio.get_running_loop().time()
        answers = await asyncio.gather(first, *(tell_event(api, f"e-{number + 1}") for number in range(people)))
        assert asyncio.get_running_loop().time() - begun < people / 2 * SHORT_LOCK_S
    assert {answer.status_code for answer in answers} == {503}
    assert (await tell_event(api, "e-1")).json()["accepted"] == 1


@pytest.mark.parametrize("short", [("STATEMENT_S", SHORT_STATEMENT_S)], indirect=True, ids=["statement"])
@pytest.mark.parametrize("asked", HANGING)
async def test_a_statement_that_hangs_is_ended(api: Api, connection: asyncpg.Connection, asked: Ask) -> None:
    before = await written(connection)
    await connection.execute(_HANGS.format(table=HANGING[asked]))
    await assert_refused(asked, api, connection, before)
    await connection.execute(_HANGS_NO_MORE.format(table=HANGING[asked]))
    await assert_done_now(asked, api, connection, before)


def test_the_limits_are_those_that_are_told() -> None:
    """docs/security.md, API4."""
    assert (pool.STATEMENT_S, pool.LOCK_S) == (30.0, 10.0)
