"""A clock that has leapt ahead by days is not believed when something would be forgotten for good."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from schema.ids import uuid7
from service.planning.clock_trust import ClockTrust
from service.store.pool import open_pool
from service.telemetry import FAILURES
from tests.integration.test_leader import all_ticks

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FORGETTING = 13
"""Ticks that delete or drop."""


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


class Machine:
    """Its clock, which may be set."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def wrong_from_the_start(machine: Machine) -> ClockTrust:
    """As on a host that is not PostgreSQL's."""
    machine.ahead = 2 * DAY
    return ClockTrust(machine.now)


def leapt_with_the_server(machine: Machine) -> ClockTrust:
    """PostgreSQL shows the same now, so that only the time that has passed here can tell."""
    machine.ahead = -2 * DAY
    trust = ClockTrust(machine.now)
    machine.ahead = timedelta()
    return trust


@pytest.mark.parametrize("untrusted", [wrong_from_the_start, leapt_with_the_server])
async def test_nothing_is_forgotten_by_a_clock_that_has_leapt(
    pool: asyncpg.Pool, untrusted: Callable[[Machine], ClockTrust]
) -> None:
    old = datetime.now(UTC) - 8 * DAY
    await pool.execute("insert into event_keys values (1, $1, $2)", uuid7(old, b"a" * 10), old)
    await pool.execute("insert into event_log values (3, 1, '', $1)", old)
    await pool.execute("update learner_partitions set last_seq = 1 where partition = 3")
    kept = "select (select count(*) from event_keys), (select count(*) from event_log)"
    machine, refused = Machine(), FAILURES.labels("clock_ahead")
    before = refused._value.get()
    for tick in all_ticks(pool, untrusted(machine)):
        await tick.run(1)
    assert tuple(await pool.fetchrow(kept)) == (1, 1)
    assert refused._value.get() == before + FORGETTING
    await pool.execute("delete from ticks")
    for tick in all_ticks(pool):
        await tick.run(1)
    assert tuple(await pool.fetchrow(kept)) == (0, 0)
    assert refused._value.get() == before + FORGETTING


async def test_a_day_is_tolerated_and_a_clock_that_is_right_again_is_believed(connection: asyncpg.Connection) -> None:
    machine = Machine()
    trust = ClockTrust(machine.now)
    believed = []
    for ahead in (timedelta(), 23 * HOUR, -30 * DAY, 25 * HOUR, timedelta()):
        machine.ahead = ahead
        believed.append(await trust.may_forget(connection, "keys"))
    assert believed == [True, True, True, False, True]
