"""Showings count in people's own parts when their window is over: each once, whoever looks, in whatever pieces, and what is told later."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from bandits import personal
from bandits.kernels import personal as kernels
from bandits.personal import Personal
from schema.event import EventType
from schema.log import LogEntry
from service.learning import ripening
from service.learning.learner import Learner
from service.learning.ripening import WINDOW
from service.store import exposures, merged_state
from service.store import merge as merging
from service.store.pool import open_pool
from tests.integration import learning_world as world
from tests.integration.learning_world import HOUR, START, entry, log
from tests.integration.test_learning_own_part import decide, rows

LATER = START + timedelta(days=10)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 6) as opened:
        async with opened.acquire() as connection:
            await world.build(connection)
        yield opened


async def ripe_through(pool: asyncpg.Pool) -> datetime:
    (instant,) = {row[0] for row in await pool.fetch("select ripe_through from learner_partitions")}
    found: datetime = instant
    return found


async def found(pool: asyncpg.Pool) -> dict[int, np.ndarray]:
    """Everybody's sums as they weigh in the end."""
    packed = dict(await pool.fetch("select user_id, personal from user_state where personal <> ''"))
    return {user_id: personal.unpack(data).at(LATER.timestamp()) for user_id, data in packed.items()}


async def recounted(pool: asyncpg.Pool) -> dict[int, np.ndarray]:
    """The same from the exposures: those that were redeemed, or are ripe."""
    ripe, people = await ripe_through(pool), dict[int, Personal]()
    for row in await pool.fetch("select user_id, slot, exposed_at, redeemed_at from exposures"):
        if row["redeemed_at"] is None and row["exposed_at"] > ripe:
            continue
        own, at_s = people.setdefault(row["user_id"], Personal()), row["exposed_at"].timestamp()
        own.shown(rows()[row["slot"]], at_s)
        if row["redeemed_at"] is not None:
            own.redeemed(rows()[row["slot"]], at_s)
    return {user_id: own.at(LATER.timestamp()) for user_id, own in people.items()}


async def assert_counted_once(pool: asyncpg.Pool) -> None:
    were, wanted = await found(pool), await recounted(pool)
    nothing = np.zeros(kernels.SIZE)
    assert wanted
    for user_id in were.keys() | wanted.keys():
        np.testing.assert_allclose(
            were.get(user_id, nothing), wanted.get(user_id, nothing), rtol=1e-4, atol=1e-5, err_msg=str(user_id)
        )


async def show(
    pool: asyncpg.Pool, at: datetime, people: Sequence[int] = range(1, 21), *, kind: EventType = EventType.SHOWN
) -> list[LogEntry]:
    """Everybody decides and is shown the first offer at that instant."""
    async with pool.acquire() as connection:
        return [entry(one, kind, at, decision_id=await decide(connection, one, at), slot=0) for one in people]


async def tell(pool: asyncpg.Pool, learner: Learner, *entries: LogEntry, now: datetime = LATER) -> None:
    async with pool.acquire() as connection:
        await log(connection, *entries)
    await learner.catch_up(now)


async def test_a_showing_counts_when_its_window_is_over_and_once(pool: asyncpg.Pool) -> None:
    learner = world.learner(pool)
    await tell(pool, learner, *await show(pool, START, [5]), *await show(pool, START + HOUR, [5]))
    assert await learner.ripen(START + WINDOW - timedelta(seconds=1)) == 0
    assert not await found(pool)
    assert await learner.ripen(START + WINDOW) == 1
    assert await ripe_through(pool) == START
    await assert_counted_once(pool)
    assert await learner.ripen(START + WINDOW) == 0
    assert await world.learner(pool).ripen(START + WINDOW + HOUR) == 1
    await assert_counted_once(pool)
    assert await learner.ripen(LATER) == 0  # its books are old, and it finds out


async def test_what_is_told_later_sets_it_right(pool: asyncpg.Pool) -> None:
    learner = world.learner(pool)
    (shown,), (unknown,) = await show(pool, START + 2 * HOUR, [5]), await show(pool, START + HOUR, [5])
    await tell(pool, learner, shown)
    await learner.ripen(LATER)
    for late in (
        entry(5, EventType.REDEEMED, START + 3 * HOUR, decision_id=shown.decision_id),
        entry(5, EventType.SHOWN, START + HOUR, decision_id=shown.decision_id),  # earlier, by another device
        entry(5, EventType.REDEEMED, START + 4 * HOUR, decision_id=unknown.decision_id),
        unknown,
        entry(
            5, EventType.SHOWN, START - 80 * HOUR, decision_id=shown.decision_id
        ),  # so early that nothing is redeemed
    ):
        await tell(pool, learner, late)
        await assert_counted_once(pool)
    assert await learner.ripen(LATER) == 0


async def test_a_backlog_is_counted_in_pieces_of_whole_instants(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ripening, "SHOWINGS_MAX", 7)
    told = [one for hours in range(4) for one in await show(pool, START + hours * HOUR, range(1, 6))]
    learner = world.learner(pool)
    await tell(pool, learner, *told)
    looked = [await learner._ripen(LATER) for _ in range(3)]
    assert [(one.counted, one.is_complete) for one in looked] == [(10, False), (10, False), (0, True)]
    await assert_counted_once(pool)


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_passes_learners_and_failures_give_the_same(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random, told = Random(seed), list[LogEntry]()
    for day in range(6):
        shown = await show(pool, START + day * 24 * HOUR, random.sample(range(1, 21), 12))
        told += shown
        for one in random.sample(shown, 6):
            after = random.randint(0, 80) * HOUR
            told.append(entry(one.user_id, EventType.REDEEMED, one.occurred_at + after, decision_id=one.decision_id))
    random.shuffle(told)
    put, learners = ripening.user_state.put, [world.learner(pool) for _ in range(2)]

    async def sometimes_dies(*arguments: Any) -> None:
        await put(*arguments)
        if random.random() < 0.3:
            raise ConnectionResetError

    async def learn(one: Learner, now: datetime) -> None:
        try:
            await one.ripen(now)
            await one.catch_up(now)
        except ConnectionResetError:
            pass

    with monkeypatch.context() as patched:
        patched.setattr(ripening.user_state, "put", sometimes_dies)
        for hours in range(0, 240, 12):
            async with pool.acquire() as connection:
                await log(connection, *told[:8])
            del told[:8]
            await asyncio.gather(*(learn(one, START + hours * HOUR) for one in learners))
    for one in learners:
        await one.catch_up(LATER)
        await assert_counted_once(pool)
    await learners[0].ripen(LATER)
    assert await ripe_through(pool) > START + 5 * 24 * HOUR - HOUR
    await assert_counted_once(pool)


async def test_people_who_turn_out_to_be_one_are_counted_once(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before their showings are ripe, after, and while they are being counted."""
    learner, read = world.learner(pool), exposures.unredeemed
    for hours in range(3):
        await tell(pool, learner, *await show(pool, START + hours * HOUR, range(1, 7)))

    async def unite(kept: int, lost: int) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await merging.merge(connection, kept, lost, LATER, merged_state.merged)

    async def read_and_unite(*arguments: Any) -> Any:
        rows_read = await read(*arguments)
        await unite(4, 3)
        return rows_read

    await learner.ripen(START + WINDOW)
    await unite(2, 1)
    await learner.ripen(START + WINDOW + HOUR)
    await assert_counted_once(pool)
    with monkeypatch.context() as patched:
        patched.setattr(ripening.exposures, "unredeemed", read_and_unite)
        assert await learner._ripen(LATER)
    await assert_counted_once(pool)
    assert sorted(await found(pool)) == [2, 4, 5, 6]


async def test_of_who_was_erased_nothing_is_learned(pool: asyncpg.Pool) -> None:
    learner = world.learner(pool)
    await tell(pool, learner, *await show(pool, START, [5, 6]))
    await pool.execute("delete from users where user_id = 5")
    assert await learner.ripen(LATER) == 2
    assert list(await found(pool)) == [6]


async def test_what_is_learned_meanwhile_by_another_is_not_overwritten(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, other, read = world.learner(pool), world.learner(pool), exposures.unredeemed
    (shown,) = await show(pool, START, [5])
    await tell(pool, learner, shown)

    async def read_and_overtake(*arguments: Any) -> Any:
        rows_read = await read(*arguments)
        monkeypatch.undo()
        await tell(pool, other, entry(5, EventType.REDEEMED, START + HOUR, decision_id=shown.decision_id))
        return rows_read

    monkeypatch.setattr(ripening.exposures, "unredeemed", read_and_overtake)
    assert await learner.ripen(LATER) == 0
    await assert_counted_once(pool)


async def test_a_look_reads_what_is_ripe_and_no_history(pool: asyncpg.Pool) -> None:
    await pool.execute(
        """insert into exposures (user_id, decision_id, slot, offer_id, exposed_at)
           select n, gen_random_uuid(), 0, 1, $1::timestamptz + n * interval '1 second' from generate_series(1, 30000) n""",
        START,
    )
    await pool.execute("analyze exposures")
    until = START + timedelta(seconds=29_990)
    async with pool.acquire() as connection:
        given = (START, until, world.decision_id(1, START - timedelta(days=31)), 2_000)
        plan = "\n".join(row[0] for row in await connection.fetch("explain " + exposures._UNREDEEMED, *given))
        assert "exposed_at" in plan
        assert "Seq Scan" not in plan
