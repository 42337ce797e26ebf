"""Leaders, fenced ticks, and the partitions they make, on real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from push.planning.planner import Planner
from push.schedule import Schedule, Tick
from push.sending.dispatcher import Dispatcher
from schema.ids import uuid7
from service.clock import SystemClock
from service.learning.effect_learner import EffectLearner
from service.learning.taste_mapper import TasteMapper
from service.planning.clock_trust import ClockTrust
from service.planning.leader import Leader
from service.planning.ticks import Learners, ticks
from service.store import partitions_by_day
from service.store import ticks as store
from service.store.catalogue import CatalogueCache
from service.store.pool import open_pool
from service.telemetry import FAILURES
from tests.integration.push_world import NOW, SEED
from tests.planning import FirstAllowed

HOUR_S = 3600.0


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


class Beats:
    """A tick that notes under which epoch it was called."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.called = asyncio.Event()

    async def run(self, epoch: int) -> None:
        self.epochs.append(epoch)
        self.called.set()


async def test_one_of_two_leads_and_the_other_takes_over_within_a_second(database: str, pool: asyncpg.Pool) -> None:
    stop, beats = asyncio.Event(), [Beats(), Beats()]
    leaders = [asyncio.create_task(Leader(database, [Tick("beat", 0.05, one.run)]).run(stop)) for one in beats]
    called = [asyncio.create_task(one.called.wait()) for one in beats]
    async with asyncio.timeout(5):
        await asyncio.wait(called, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.3)
    first, second = sorted(beats, key=lambda one: -len(one.epochs))
    assert len(first.epochs) > 2
    assert second.epochs == []
    began = asyncio.get_running_loop().time()
    await pool.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted")
    await asyncio.sleep(0.05)
    before = len(first.epochs)
    async with asyncio.timeout(5):
        await second.called.wait()
    assert asyncio.get_running_loop().time() - began < 1.0
    await asyncio.sleep(0.2)
    assert len(first.epochs) == before
    assert min(second.epochs) > max(first.epochs)
    stop.set()
    await asyncio.gather(*leaders)
    await asyncio.sleep(0.1)
    after = len(second.epochs)
    await asyncio.sleep(0.15)
    assert len(second.epochs) == after
    for task in called:
        task.cancel()


async def test_a_leader_survives_a_database_that_is_not_there() -> None:
    stop, beats = asyncio.Event(), Beats()
    leader = asyncio.create_task(Leader("postgresql://127.0.0.1:1/none", [Tick("beat", 0.05, beats.run)]).run(stop))
    await asyncio.sleep(0.7)
    assert not leader.done()
    stop.set()
    await leader
    assert beats.epochs == []


async def test_a_tick_runs_once_an_interval_under_the_newest_leadership(pool: asyncpg.Pool) -> None:
    hour = timedelta(hours=1)
    assert await store.claim(pool, "plan", NOW, HOUR_S, 7)
    assert not await store.claim(pool, "plan", NOW + 0.5 * hour, HOUR_S, 7)
    assert await store.claim(pool, "plan", NOW + 0.99 * hour, HOUR_S, 7)
    assert await store.claim(pool, "plan", NOW + 2 * hour, HOUR_S, 8)
    assert not await store.claim(pool, "plan", NOW + 4 * hour, HOUR_S, 7)
    assert await store.claim(pool, "other", NOW, HOUR_S, 1)
    assert await store.claim(pool, "plan", NOW, HOUR_S, 8)  # the clock was an hour ahead before
    claimed = await asyncio.gather(*(store.claim(pool, "sweep", NOW, HOUR_S, 8) for _ in range(4)))
    assert sorted(claimed) == [False, False, False, True]


def all_ticks(pool: asyncpg.Pool, trust: ClockTrust | None = None) -> list[Tick]:
    class NoChannel:
        name = "none"

    dispatcher = Dispatcher(pool, NoChannel(), None)  # type: ignore[arg-type] # nothing is sent here
    learners = Learners(TasteMapper(pool, CatalogueCache()), EffectLearner(pool))
    return ticks(pool, SystemClock(), Planner(pool, FirstAllowed(), SEED), dispatcher, learners, trust or ClockTrust())


async def test_a_tick_that_fails_is_counted(pool: asyncpg.Pool) -> None:
    await pool.execute("alter table event_keys rename to elsewhere")
    (tick,) = (tick for tick in all_ticks(pool) if tick.name == "purge_event_keys")
    failures = FAILURES.labels("purge_event_keys")
    before = failures._value.get()
    with pytest.raises(asyncpg.UndefinedTableError):
        await tick.run(1)
    assert failures._value.get() == before + 1


async def test_a_tick_that_the_end_breaks_off_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def run(_epoch: int) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    schedule = Schedule([Tick("long", 60.0, run)])
    schedule.start()
    schedule.resume(1)
    async with asyncio.timeout(10):
        await began.wait()
        schedule.stop()
        await ended.wait()
    await asyncio.sleep(0)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("hours", [1, 24 * 365])
async def test_a_clock_that_is_set_silences_no_tick(hours: int) -> None:
    """What it leaves behind is a next time that lies as far ahead as it was set back, or behind as it was set ahead."""
    beats = Beats()
    schedule = Schedule([Tick("beat", 0.5, beats.run)])
    schedule.start()
    schedule.resume(1)
    async with asyncio.timeout(10):
        for set_by in (timedelta(hours=hours), -timedelta(hours=hours)):
            await beats.called.wait()
            schedule._scheduler.modify_job("beat", next_run_time=datetime.now(UTC) + set_by)
            called = len(beats.epochs)
            schedule.keep_time()
            while len(beats.epochs) < called + 3:
                await asyncio.sleep(0.01)
    schedule.stop()


async def test_every_tick_runs_against_the_schema(pool: asyncpg.Pool) -> None:
    now = datetime.now(UTC)
    old = now - timedelta(days=8)
    await pool.execute(
        "insert into event_keys values (1, $1, $2), (1, $3, $4)", uuid7(old, b"a" * 10), old, uuid7(now, b"b" * 10), now
    )
    await pool.execute("insert into event_log values (3, 1, '', $1), (3, 2, '', $1)", old)
    await pool.execute("update learner_partitions set last_seq = 1 where partition = 3")
    all_of_them = all_ticks(pool)
    assert min(tick.every_s for tick in all_of_them) == 5.0
    for tick in all_of_them:
        await tick.run(1)
        await tick.run(1)
    assert await pool.fetchval("select count(*) from event_keys") == 1
    assert await pool.fetch("select seq from event_log") == [(2,)]
    assert await pool.fetchval("select count(*) from ticks") == len(all_of_them)
    assert await pool.fetchval("select to_regclass($1) is not null", f"decisions_{now:%Y%m%d}")


async def parts(pool: asyncpg.Pool, table: str) -> list[str]:
    query = "select inhrelid::regclass::text from pg_inherits where inhparent = $1::text::regclass order by 1"
    return [row[0] for row in await pool.fetch(query, table)]


async def test_partitions_are_made_ahead_and_take_the_rows_of_their_day(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await partitions_by_day.ensure(connection, NOW)
        await partitions_by_day.ensure(connection, NOW + timedelta(days=1))
    made = ["exposures_20260302", "exposures_20260303", "exposures_20260304", "exposures_20260305"]
    assert await parts(pool, "exposures") == [*made, "exposures_default"]
    midnight = NOW.replace(hour=0) + timedelta(days=1)
    for at in (midnight - timedelta(milliseconds=1), midnight, NOW - timedelta(days=3)):
        await pool.execute("insert into exposures values (1, $1, 0, 1)", uuid7(at, bytes(10)))
    lies = await pool.fetch("select tableoid::regclass::text from exposures order by 1")
    assert [row[0] for row in lies] == ["exposures_20260302", "exposures_20260303", "exposures_default"]


async def test_a_day_whose_rows_lie_in_the_default_stays_there(pool: asyncpg.Pool) -> None:
    await pool.execute("insert into exposures values (1, $1, 0, 1)", uuid7(NOW + timedelta(days=1), bytes(10)))
    async with pool.acquire() as connection:
        await partitions_by_day.ensure(connection, NOW)
    assert await parts(pool, "exposures") == ["exposures_20260302", "exposures_20260304", "exposures_default"]
    assert len(await parts(pool, "events")) == 4
