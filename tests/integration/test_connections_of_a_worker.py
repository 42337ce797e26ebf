"""The connections of an API worker with PostgreSQL: who waits longest is served first, and batches never wait behind requests."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from service.store.pool import open_pool
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import NOW, serving


async def test_who_has_waited_longest_is_served_first(database: str) -> None:
    """Also while others come in every turn of the loop, one of them just when a connection is given back."""
    pool = await open_pool(database, 1)
    served: list[int] = []

    async def work(number: int) -> None:
        async with pool.acquire() as connection:
            await connection.execute("select 1")
            served.append(number)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(300):
                group.create_task(work(number))
                await asyncio.sleep(0.0)
    finally:
        await pool.close()
    assert served == list(range(300))


async def test_a_turn_is_given_back_by_who_fails_or_gives_up(database: str) -> None:
    pool = await open_pool(database, 1)
    try:
        with pytest.raises(ZeroDivisionError):
            async with pool.acquire():
                raise ZeroDivisionError
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), pool.acquire():
                    pass
        await pool.fetchval("select 1")
        await pool.close()
        for _ in range(2):
            with pytest.raises(Exception, match="pool is clos"):
                await pool.fetchval("select 1")
    finally:
        pool.terminate()


async def test_batches_do_not_wait_behind_requests(database: str) -> None:
    """A thousand tills may wait for one scarce offer: others are decided for, told of, answered and looked at meanwhile."""
    async with serving(database) as api, AsyncExitStack() as stack, asyncio.timeout(60):
        api.headers.update(await api.key("sk", "users", "ingest"))
        pool = api.resources.pool
        async with pool.acquire() as connection:
            await decision_world.stock(connection, [offer("milk", ["milk"])], NOW)
        await decision_world.publish(pool, NOW)
        await api.resources.snapshot.refresh()
        assert (await api.post("/v1/identify", json={"user_id": "ann"})).status_code == 200
        for _ in range(pool.get_max_size()):
            await stack.enter_async_context(pool.acquire())
        waiting = asyncio.create_task(api.post("/v1/identify", json={"user_id": "bob"}))
        api.resources.access._due_at = 0.0  # keys are read as well
        now = datetime.now(UTC).isoformat()
        event = {"event_id": "one", "type": "app_open", "user_id": "ann", "occurred_at": now}
        told = await api.post("/v1/events", json={"sent_at": now, "batch": [event]})
        assert (told.status_code, told.json()["accepted"]) == (200, 1)
        decided = await api.post("/v1/decisions", json={"user_id": "ann"})
        assert decided.status_code == 200, decided.text
        path = f"/v1/decisions/{decided.json()['decision_id']}/feedback"
        assert (await api.post(path, json={"user_id": "ann", "type": "shown"})).status_code == 200
        assert (await api.get("/readyz")).json()["checks"]["database"] == "ok"
        assert not waiting.done()
        await stack.aclose()
        assert (await waiting).status_code == 200
