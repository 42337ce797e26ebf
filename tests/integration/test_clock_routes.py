import asyncio
from datetime import timedelta

import asyncpg

from service.store import virtual_clock
from tests.integration.serving import NOW, serving

LATER = NOW + timedelta(hours=1)


async def test_without_a_virtual_clock_there_is_no_hand(database: str) -> None:
    async with serving(database) as api:
        assert (await api.get("/v1/clock", headers=await api.key("sk", "admin"))).status_code == 404


async def test_the_clock_is_set_moved_and_never_moved_back(database: str) -> None:
    async with serving(database, is_virtual_clock=True) as api:
        admin = await api.key("sk", "admin")
        assert (await api.get("/v1/clock", headers=admin)).status_code == 404
        body = {"now": NOW.isoformat(), "wait_s": 1}
        started = await api.post("/v1/clock", json=body, headers=admin)
        assert (started.status_code, started.json()["now"], started.json()["settled_at"]) == (
            200,
            *["2026-03-02T09:30:00Z"] * 2,
        )
        moved = await api.post("/v1/clock", json={"now": LATER.isoformat(), "wait_s": 0}, headers=admin)
        assert (moved.json()["now"], moved.json()["settled_at"]) == ("2026-03-02T10:30:00Z", "2026-03-02T09:30:00Z")
        assert await api.resources.clock.now() == LATER
        back = await api.post("/v1/clock", json=body, headers=admin)
        assert (back.status_code, back.json()["code"]) == (409, "conflict")
        naive = await api.post("/v1/clock", json={"now": "2026-03-02T12:00:00"}, headers=admin)
        assert (naive.status_code, naive.json()["errors"][0]["pointer"]) == (400, "/now")
        assert (await api.get("/v1/clock", headers=admin)).json() == moved.json()


async def test_it_waits_for_the_worker(database: str, connection: asyncpg.Connection) -> None:
    async with serving(database, is_virtual_clock=True) as api:
        admin = await api.key("sk", "admin")
        await virtual_clock.advance(connection, NOW)
        late = await api.post("/v1/clock", json={"now": LATER.isoformat(), "wait_s": 0.1}, headers=admin)
        assert (late.status_code, late.json()["code"]) == (503, "unavailable")
        body = {"now": LATER.isoformat(), "wait_s": 10}
        answers = [asyncio.create_task(api.post("/v1/clock", json=body, headers=admin)) for _ in range(2)]
        await asyncio.sleep(0.2)
        assert not any(answer.done() for answer in answers)
        await virtual_clock.settle(connection, LATER)
        for answer in answers:
            assert (await answer).json()["settled_at"] == "2026-03-02T10:30:00Z"
