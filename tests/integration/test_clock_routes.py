import asyncio
import contextlib
from datetime import datetime, timedelta

import asyncpg
import pytest

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


async def test_it_moves_when_the_worker_has_done_what_was_due_before(
    database: str, connection: asyncpg.Connection
) -> None:
    async with serving(database, is_virtual_clock=True) as api:
        admin = await api.key("sk", "admin")
        body = {"now": NOW.isoformat(), "wait_s": 0, "first_wait_s": 0.1}
        assert (
            await api.post("/v1/clock", json=body, headers=admin)
        ).status_code == 200  # there is nothing before the first instant
        await virtual_clock.advance(connection, LATER)
        body = {"now": (LATER + timedelta(hours=1)).isoformat(), "wait_s": 0, "first_wait_s": 0.1}
        late = await api.post("/v1/clock", json=body, headers=admin)
        assert (late.status_code, late.json()["code"]) == (503, "unavailable")
        assert "has not moved" in late.json()["detail"]
        answer = asyncio.create_task(api.post("/v1/clock", json={**body, "first_wait_s": 10}, headers=admin))
        await asyncio.sleep(0.2)
        assert await api.resources.clock.now() == LATER
        await virtual_clock.settle(connection, LATER)
        assert (await answer).json() == {"now": "2026-03-02T11:30:00Z", "settled_at": "2026-03-02T10:30:00Z"}


async def _follow(database: str, done: list[datetime]) -> asyncio.Task[None]:
    async def do_all(now: datetime) -> None:
        done.append(now)

    following = asyncio.create_task(virtual_clock.follow(database, do_all, asyncio.Event()))
    await asyncio.sleep(0.2)
    return following


async def _settled(connection: asyncpg.Connection, at: datetime) -> None:
    async with asyncio.timeout(10.0):
        while (await virtual_clock.read(connection)) != (at, at):
            await asyncio.sleep(0.01)


async def _end(following: asyncio.Task[None]) -> None:
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


async def test_the_worker_hears_of_every_move(
    database: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_clock, "LOST_NOTICE_S", 3600.0)  # it must hear: it does not look
    await connection.execute("set timezone to 'Asia/Kathmandu'")  # an instant, whatever the zone of who moves the clock
    done: list[datetime] = []
    following = await _follow(database, done)
    moves = [NOW + timedelta(hours=hour, microseconds=hour) for hour in range(4)]
    for to in moves:
        await virtual_clock.advance(connection, to)
        await _settled(connection, to)
    assert done == moves[1:]  # by the first instant nothing is due
    await _end(following)


async def test_the_worker_looks_when_it_hears_nothing(database: str, connection: asyncpg.Connection) -> None:
    await virtual_clock.advance(connection, NOW)
    done: list[datetime] = []
    following = await _follow(database, done)
    await connection.execute("update virtual_clock set now_at = $1", LATER)
    await _settled(connection, LATER)
    assert done == [LATER]
    await _end(following)
