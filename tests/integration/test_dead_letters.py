"""An event that makes the learner fail is tried three times and put aside; the stream goes on, and after a fix it is replayed."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from click.testing import CliRunner

from bandits import population
from schema.event import EventType
from schema.log import LogEntry
from service.cli import main
from service.learning import learner as learning
from service.learning.facts import Fact
from service.learning.learner import Learner
from service.learning.poison import TRIES_MAX
from service.store import dead_letters, partitions
from service.store import pool as pools
from service.telemetry import DEAD_LETTERS, FAILURES
from tests.integration import learning_world as world
from tests.integration.learning_world import HOUR, START, entry, log

NOW = START + 10 * HOUR
SOUND = learning.fold


class BadBasketError(Exception):
    """A fold that has a bug."""


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await pools.open_pool(database, 6)
    async with opened.acquire() as connection:
        await world.build(connection)
    yield opened
    await opened.close()


def basket(user_id: int, tag_id: int) -> LogEntry:
    return entry(user_id, EventType.PURCHASE, START, tag_ids=(tag_id,))


def breaks_by(monkeypatch: pytest.MonkeyPatch, *poisons: LogEntry) -> None:
    ids = {one.event_id for one in poisons}

    def fold(facts: Iterable[Fact], *more: Any) -> Any:
        kept = list(facts)
        if any(fact.entry.event_id in ids for fact in kept):
            raise BadBasketError
        return SOUND(kept, *more)

    monkeypatch.setattr(learning, "fold", fold)


async def baskets(pool: Any) -> dict[int, float]:
    """Baskets by partition, undecayed: all are of one instant."""
    async with pool.acquire() as connection:
        found = {place: population.unpack(one.population) for place, one in (await partitions.load(connection)).items()}
    whole = population.Population()
    whole.bought((), -1, START.timestamp())
    return {place: one.baskets / whole.baskets for place, one in found.items() if one.baskets}


async def fails(learner: Learner, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BadBasketError):
            await learner.fold_once(NOW)


async def lying(pool: Any) -> list[dead_letters.Shown]:
    async with pool.acquire() as connection:
        return await dead_letters.read(connection, 100)


async def test_poison_is_tried_three_times_and_put_aside_while_all_else_is_counted(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = [basket(n, n % 3) for n in range(1, 11)], [basket(3, 7), basket(12, 7)]
    async with pool.acquire() as connection:
        await log(connection, *good[:5], *bad, *good[5:])
    breaks_by(monkeypatch, *bad)
    learner, before = world.learner(pool), DEAD_LETTERS._value.get()
    await fails(learner, 3)
    assert await baskets(pool) == {}
    assert await lying(pool) == []
    assert await learner.fold_once(NOW) == len(good)
    assert sum((await baskets(pool)).values()) == pytest.approx(len(good))
    assert {(one.event_id, one.reason, one.user_id) for one in await lying(pool)} == {
        (one.event_id, "BadBasketError", f"user {one.user_id}") for one in bad
    }
    assert DEAD_LETTERS._value.get() - before == 2
    async with pool.acquire() as connection:
        await log(connection, basket(4, 2))
    assert await learner.fold_once(NOW) == 1  # the stream goes on


async def test_a_crash_before_it_is_put_aside_begins_anew_and_counts_nothing_twice(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = basket(3, 7)
    async with pool.acquire() as connection:
        await log(connection, basket(3, 1), bad)
    breaks_by(monkeypatch, bad)
    await fails(world.learner(pool), 2)
    after_the_crash = world.learner(pool)
    await fails(after_the_crash, 3)
    assert await after_the_crash.fold_once(NOW) == 1
    assert sum((await baskets(pool)).values()) == pytest.approx(1)
    assert len(await lying(pool)) == 1


async def test_after_a_fix_it_is_replayed_by_a_command_and_counts_once(
    pool: asyncpg.Pool, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = basket(3, 7)
    async with pool.acquire() as connection:
        await log(connection, bad)
    breaks_by(monkeypatch, bad)
    learner = world.learner(pool)
    await fails(learner, 3)
    await learner.fold_once(NOW)
    monkeypatch.setenv("WELLTIMED_DATABASE_URL", database)
    shown = await run("dead-letters", "list")
    assert str(bad.event_id) in shown
    assert "BadBasketError" in shown
    # Replayed too early it comes back.
    assert await run("dead-letters", "replay", str(bad.event_id)) == "replayed 1\n"
    await fails(learner, 3)
    await learner.fold_once(NOW)
    assert len(await lying(pool)) == 1
    monkeypatch.setattr(learning, "fold", SOUND)
    assert await run("dead-letters", "replay", "--all") == "replayed 1\n"
    assert await run("dead-letters", "replay", "--all") == "replayed 0\n"
    assert await learner.fold_once(NOW) == 1
    assert sum((await baskets(pool)).values()) == pytest.approx(1)
    assert await run("dead-letters", "list") == "none\n"


async def run(*words: str) -> str:
    done = await asyncio.to_thread(CliRunner().invoke, main, list(words))
    assert done.exit_code == 0, done.output
    return done.output


async def test_what_lies_in_the_moment_is_no_poison(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pool.acquire() as connection:
        await log(connection, basket(3, 7))
    learner = world.learner(pool)

    def fold(*_: Any) -> Any:
        raise ConnectionResetError

    monkeypatch.setattr(learning, "fold", fold)
    for _ in range(5):
        with pytest.raises(ConnectionResetError):
            await learner.fold_once(NOW)
    monkeypatch.setattr(learning, "fold", SOUND)
    assert await learner.fold_once(NOW) == 1
    assert await lying(pool) == []


async def test_a_flood_of_poison_is_an_alarm_and_bounded_work_and_the_stream_goes_on(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = [basket(1, 1), basket(2, 2)], [basket(1 + n % 10, 10 + n // 10) for n in range(180)]
    async with pool.acquire() as connection:
        await log(connection, good[0], *bad, good[1])
    breaks_by(monkeypatch, *bad)
    learner, before = world.learner(pool), flood()
    passes = 0
    while not await counted(learner):
        passes += 1
        assert passes < 30
    assert passes > TRIES_MAX  # not all were found at once
    assert flood() > before
    assert sum((await baskets(pool)).values()) == pytest.approx(2)
    async with pool.acquire() as connection:
        assert {one.event_id for one in await dead_letters.read(connection, 1_000)} == {one.event_id for one in bad}


async def test_of_two_that_fail_only_together_one_is_put_aside_and_counts_when_it_is_replayed(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, others = [basket(3, 7), basket(3, 8)], [basket(3, n) for n in range(5)]
    async with pool.acquire() as connection:
        await log(connection, *others[:3], pair[0], others[3], pair[1], others[4])
    ids = {one.event_id for one in pair}

    def fold(facts: Iterable[Fact], *more: Any) -> Any:
        kept = list(facts)
        if ids <= {fact.entry.event_id for fact in kept}:
            raise BadBasketError
        return SOUND(kept, *more)

    monkeypatch.setattr(learning, "fold", fold)
    learner = world.learner(pool)
    await fails(learner, 3)
    assert await learner.fold_once(NOW) == 6
    assert [one.event_id for one in await lying(pool)] == [pair[1].event_id]
    async with pool.acquire() as connection:
        await dead_letters.replay(connection, None, NOW)
    assert await learner.fold_once(NOW) == 1
    assert sum((await baskets(pool)).values()) == pytest.approx(7)


async def counted(learner: Learner) -> int:
    """0 when the pass failed."""
    try:
        return await learner.fold_once(NOW)
    except BadBasketError:
        return 0


def flood() -> float:
    return float(FAILURES.labels("poison_flood")._value.get())
