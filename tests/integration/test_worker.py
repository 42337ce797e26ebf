"""The background worker in real time: what goes wrong in one of its loops neither ends the others nor itself."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from push.channel import Message, Outcome
from schema.event import EventType
from service import garbage
from service import worker as working
from service.planning.leader import Leader
from service.settings import Settings
from service.store import snapshots, virtual_clock
from service.store.pool import prepare
from service.telemetry import FAILURES
from service.worker import Worker
from tests.integration import learning_world as world

MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Silent:
    """A channel with nothing to send."""

    name = account = "silent"

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        raise AssertionError("there is nothing to send")


def failures(what: str) -> float:
    return FAILURES.labels(what)._value.get()


async def until(is_so: Any) -> None:
    async with asyncio.timeout(10.0):
        while not await is_so():
            await asyncio.sleep(0.02)


async def test_each_loop_goes_on_when_another_fails(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pushes: list[datetime] = []

    class Failing(Worker):
        async def publish(self, now: datetime) -> None:
            raise ZeroDivisionError

        async def send(self, now: datetime) -> None:
            pushes.append(now)
            await super().send(now)

    stand, stood = Leader._stand, 0

    async def fails_once(self: Leader, stop: asyncio.Event) -> None:
        nonlocal stood
        stood += 1
        if stood == 1:
            raise ZeroDivisionError
        await stand(self, stop)

    monkeypatch.setattr(Leader, "_stand", fails_once)
    monkeypatch.setattr(working, "RETRY_S", 0.2)
    before = {what: failures(what) for what in ("publish", "leader")}
    worker = Failing(Settings(data_dir=Path("/nonexistent"), pool_max=4), database, Silent())
    connection = await asyncpg.connect(database)
    await prepare(connection)
    await world.build(connection)
    began = asyncio.get_running_loop().time()
    task = asyncio.create_task(worker.run())
    try:

        async def has_ticked() -> bool:
            return bool(await connection.fetchval("select count(*) from ticks"))

        async def has_learned() -> bool:
            return bool(await connection.fetchval("select count(*) from user_state"))

        async def has_failed_again() -> bool:
            return failures("publish") >= before["publish"] + 3

        async def has_pushed_again() -> bool:
            return len(pushes) >= 2

        await until(has_failed_again)
        now = datetime.now(UTC)
        await world.log(connection, world.entry(1, EventType.PURCHASE, now, tag_ids=(1,), local_hour=9), at=now)
        await until(has_learned)
        await until(has_ticked)
        await until(has_pushed_again)
        took_s = asyncio.get_running_loop().time() - began
    finally:
        worker.stop()
        await asyncio.wait_for(task, 10.0)
        await connection.close()
    assert failures("leader") == before["leader"] + 1
    assert failures("publish") - before["publish"] <= 1 + took_s / 0.2, "it did not pause"


async def test_free_memory_goes_back_again_and_again(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    give_back = garbage.give_back

    def told_of() -> None:
        give_back()
        threads.append(threading.current_thread().name)

    monkeypatch.setattr(garbage, "give_back", told_of)
    monkeypatch.setattr(working, "GIVE_BACK_EVERY_S", 0.05)
    worker = Worker(Settings(data_dir=Path("/nonexistent"), pool_max=4), database, Silent())
    task = asyncio.create_task(worker.run())
    try:

        async def has_given_back_thrice() -> bool:
            return len(threads) >= 3

        await until(has_given_back_thrice)
    finally:
        worker.stop()
        await asyncio.wait_for(task, 10.0)
    assert threading.main_thread().name not in threads, "it held up the loop"


async def test_a_new_epoch_is_fitted_and_published_beside_all_else(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "REFIT_EVERY_S", 0.1)
    worker = Worker(Settings(data_dir=Path("/nonexistent"), pool_max=4), database, Silent())
    connection = await asyncpg.connect(database)
    await prepare(connection)
    await world.build(connection)
    task = asyncio.create_task(worker.run())
    try:
        now = datetime.now(UTC)
        entries = [
            world.entry(user_id, EventType.ACCEPTED, now, decision_id=await world.decide(connection, user_id, now))
            for user_id in range(1, 11)
        ]
        await world.log(connection, *entries, at=now)

        async def is_published() -> bool:
            snapshot = await snapshots.latest(connection)
            return snapshot is not None and snapshot.epoch > 0

        await until(is_published)
        assert await connection.fetchval("select max(exposures) from epochs") == 10
    finally:
        worker.stop()
        await asyncio.wait_for(task, 10.0)
        await connection.close()


async def test_in_a_virtual_world_a_promise_is_taken_back_in_the_hour_it_runs_out(database: str) -> None:
    settings = Settings(data_dir=Path("/nonexistent"), pool_max=4, is_virtual_clock=True)
    worker = Worker(settings, database, Silent())
    connection = await asyncpg.connect(database)
    await connection.execute("insert into allowances (holder, reserved) values (holder_of(1), 1)")
    await connection.execute(
        """insert into reservations (user_id, reservation_id, offer_id, taken_from, discount_minor, state, made_at, expires_at, held_by)
           values (1, gen_random_uuid(), 1, array[holder_of(1)], 0, 0, $1, $1::timestamptz + interval '90 minutes', '{}')""",
        MORNING,
    )
    task = asyncio.create_task(worker.run())
    states = []
    try:
        for hour in range(3):
            to = MORNING + timedelta(hours=hour)
            await virtual_clock.advance(connection, to)
            async with asyncio.timeout(10.0):
                while (await virtual_clock.read(connection)) != (to, to):
                    await asyncio.sleep(0.02)
            states.append(await connection.fetchval("select state from reservations"))
        assert await worker.pool.fetchval("show plan_cache_mode") == "force_generic_plan"
        for ahead in range(10):  # a week's days at once, so that each has its own until the next are made
            name = f"decisions_{MORNING + timedelta(days=ahead):%Y%m%d}"
            assert await connection.fetchval("select to_regclass($1) is not null", name), name
    finally:
        worker.stop()
        await asyncio.wait_for(task, 10.0)
    assert states == [0, 0, 2]
    assert await connection.fetchval("select reserved from allowances") == 0
    await connection.close()
