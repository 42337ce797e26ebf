"""The learner against real PostgreSQL: every entry counts once, whoever sends it again and whoever else learns."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from bandits import delay, population, rhythm, sums, tastes
from bandits.delay import CLOSED
from bandits.event_time import decay_weight
from bandits.features import DIMS
from bandits.sums import Sums
from schema.event import EventType
from schema.ids import partition_of
from schema.log import LogEntry
from service.learning import learner as learning
from service.learning import pauses
from service.learning.learner import Learner
from service.store import answers, event_log, merged_state, partitions
from service.store import merge as merging
from service.store import pool as pools
from service.telemetry import FAILURES
from tests.counting import Tally
from tests.integration import learning_world as world
from tests.integration.learning_world import HOUR, START, decide, entry, log

NOW = START + 10 * HOUR


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await pools.open_pool(database, 6)
    async with opened.acquire() as connection:
        await world.build(connection)
    yield opened
    await opened.close()


async def summed(pool: Any) -> dict[int, Sums]:
    """The sums of all partitions by cohort."""
    cohorts: dict[int, Sums] = {}
    async with pool.acquire() as connection:
        for (_, cohort), data in (await partitions.load_sums(connection)).items():
            cohorts.setdefault(cohort, Sums(DIMS)).add(sums.unpack(data, DIMS))
    return cohorts


async def everything(pool: Any) -> Sums:
    total = Sums(DIMS)
    for of_cohort in (await summed(pool)).values():
        total.add(of_cohort)
    return total


def assert_same(one: Sums, other: Sums) -> None:
    for name in Sums.__slots__:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12, err_msg=name)


def decisive(weight: float) -> float:
    return weight / decay_weight(START.timestamp())


async def exposure_row(pool: Any, user_id: int) -> Any:
    return await pool.fetchrow("select exposed_at, opened_at, redeemed_at from exposures where user_id = $1", user_id)


async def tastes_of(pool: Any, user_id: int) -> tastes.Tastes:
    return tastes.unpack(await pool.fetchval("select tastes from user_state where user_id = $1", user_id))


async def tag(pool: Any, name: str) -> int:
    number: int = await pool.fetchval("select tag_id from tags where tag = $1", name)
    return number


async def shown_of(pool: Any, user_id: int, name: str) -> float:
    state, tag_id = await tastes_of(pool, user_id), await tag(pool, name)
    entries = state.entries[: int(state.header["entries"][0])]
    return float(entries["shown"][entries["tag_id"] == tag_id].sum()) / 1024.0


async def interest_of(pool: Any, user_id: int, name: str) -> float:
    state, tag_id = await tastes_of(pool, user_id), await tag(pool, name)
    entries = state.entries[: int(state.header["entries"][0])]
    return float(entries["interest"][entries["tag_id"] == tag_id].sum())


async def shown_and_answered(
    pool: Any, *order: str, open_after: timedelta = HOUR, redeem_after: timedelta = 5 * HOUR
) -> None:
    """Ten people are shown an offer; what is told of them comes in the given order, a pass for each part."""
    parts: dict[str, list[LogEntry]] = {"shown": [], "opened": [], "redeemed": []}
    async with pool.acquire() as connection:
        for user_id in range(1, 11):
            decided = await decide(connection, user_id, START)
            told: Any = {"decision_id": decided, "offer_id": 1}
            parts["shown"].append(entry(user_id, EventType.ACCEPTED, START, **told))
            if user_id % 2:
                parts["opened"].append(entry(user_id, EventType.OPENED, START + open_after, **told))
            if user_id % 3 == 0:
                parts["redeemed"].append(entry(user_id, EventType.REDEEMED, START + redeem_after, **told))
        one = world.learner(pool)
        for part in order:
            await log(connection, *parts[part])
            assert await one.catch_up(NOW) == len(parts[part])


def expected_after(opened: bool = True, redeemed: bool = True) -> Sums:
    told = Tally()
    for user_id in range(1, 11):
        phi, at_s = world.phi_of(user_id, 1)[0], START.timestamp()
        told.add_exposure(phi, at_s)
        if opened and user_id % 2:
            told.add_reward(0, phi, at_s, 3600.0)
        if redeemed and user_id % 3 == 0:
            told.add_reward(1, phi, at_s, 5 * 3600.0)
    return told.sums()


@pytest.mark.parametrize(
    "order",
    [("shown", "opened", "redeemed"), ("redeemed", "shown", "opened"), ("opened", "redeemed", "shown")],
    ids="-".join,
)
async def test_rewards_count_once_whether_they_come_before_or_after_the_exposure(
    pool: asyncpg.Pool, order: tuple[str, ...]
) -> None:
    await shown_and_answered(pool, *order)
    cohorts = await summed(pool)
    assert list(cohorts) == [delay.cohort_at(START.timestamp(), NOW.timestamp())]
    assert_same(cohorts[delay.cohort_at(START.timestamp(), NOW.timestamp())], expected_after())
    assert tuple(await exposure_row(pool, 3)) == (START, START + HOUR, START + 5 * HOUR)
    assert tuple(await exposure_row(pool, 2)) == (START, None, None)
    assert await shown_of(pool, 3, "milk") == pytest.approx(0.0, abs=2e-3)
    assert await shown_of(pool, 2, "milk") == pytest.approx(1.0, abs=2e-3)


async def test_the_same_answers_again_change_nothing(pool: asyncpg.Pool) -> None:
    await shown_and_answered(pool, "shown", "opened", "redeemed")
    before = await pool.fetch("select * from user_state order by user_id")
    async with pool.acquire() as connection:
        for kind, later in ((EventType.SHOWN, 0), (EventType.OPENED, 2), (EventType.REDEEMED, 7)):
            again = [
                entry(u, kind, START + later * HOUR, decision_id=world.decision_id(u, START), offer_id=1)
                for u in (3, 9)
            ]
            await log(connection, *again)
    assert await world.learner(pool).catch_up(NOW) == 6
    assert_same(await everything(pool), expected_after())
    after = await pool.fetch("select * from user_state order by user_id")
    assert [row["tastes"] for row in after] == [row["tastes"] for row in before]


async def test_learners_at_once_and_one_that_dies_count_everything_once(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners = [world.learner(pool) for _ in range(2)]
    put, calls = learning.exposures.put, 0

    async def sometimes_dies(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        await put(*arguments)
        if calls % 5 == 0:
            raise ConnectionResetError

    monkeypatch.setattr(learning.exposures, "put", sometimes_dies)
    is_over = False

    async def learn(one: Learner) -> int:
        counted = 0
        while not is_over:
            try:
                counted += await one.fold_once(NOW)
            except ConnectionResetError:
                continue
            await asyncio.sleep(0)
        return counted

    tasks = [asyncio.create_task(learn(one)) for one in learners]
    counted, sent = Tally(), 0
    async with pool.acquire() as connection:
        for step in range(25):
            at = START + step * timedelta(minutes=5)
            entries = []
            for user_id in range(1, 21):
                decided = await decide(connection, user_id, at)
                entries.append(entry(user_id, EventType.ACCEPTED, at, decision_id=decided))
                counted.add_exposure(world.phi_of(user_id, 1)[0], at.timestamp())
                if (user_id + step) % 4 == 0:
                    entries.append(entry(user_id, EventType.OPENED, at + HOUR, decision_id=decided))
                    counted.add_reward(0, world.phi_of(user_id, 1)[0], at.timestamp(), 3600.0)
            await log(connection, *entries)
            sent += len(entries)
    assert calls >= 5
    monkeypatch.undo()
    last = world.learner(pool)
    caught_up = await last.catch_up(NOW)
    is_over = True
    assert caught_up + sum(await asyncio.gather(*tasks)) == sent
    assert_same(await everything(pool), counted.sums())
    assert await pool.fetchval("select count(*) from exposures where exposed_at is not null") == 500


async def test_what_is_appended_too_late_waits_with_all_that_follows_it(pool: asyncpg.Pool) -> None:
    later = NOW + timedelta(hours=1)
    async with pool.acquire() as connection:
        for seq, at in enumerate((NOW, later, NOW)):
            await event_log.append(connection, [entry(1, EventType.PURCHASE, START, tag_ids=(seq,))], at)
        await event_log.append(connection, [entry(2, EventType.PURCHASE, START, tag_ids=(1,))], NOW)
    one = world.learner(pool)
    assert await one.catch_up(later, appended_before=later) == 2
    assert await one.catch_up(later, appended_before=later) == 0
    assert await one.catch_up(later, appended_before=later + timedelta(seconds=1)) == 2


@pytest.mark.parametrize(("limit", "value"), [("BATCHES_MAX", 2), ("BYTES_MAX", 1), ("BYTES_MAX", 60)])
async def test_what_waits_is_read_in_pieces_and_counted_once(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(event_log, limit, value)
    async with pool.acquire() as connection:
        for n in range(7):
            await log(connection, *(entry(user, EventType.PURCHASE, START, tag_ids=(n,)) for user in (1, 2)))
        begin = dict.fromkeys(range(64), 0)
        batches, is_all = await event_log.read(connection, begin)
        assert 2 <= len(batches) < 14
        assert not is_all
    one = world.learner(pool)
    first = await one.fold_once(NOW)
    assert first == sum(len(batch.entries) for batch in batches)
    assert first + await one.catch_up(NOW) == 14
    assert await one.catch_up(NOW) == 0


async def test_a_pass_that_fails_leaves_nothing_behind(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pool.acquire() as connection:
        await log(
            connection, *[entry(u, EventType.PURCHASE, START, tag_ids=(1, 2), local_hour=9) for u in range(1, 11)]
        )
    one = world.learner(pool)

    async def dies(*arguments: Any) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(learning.user_state, "put", dies)
        with pytest.raises(ConnectionResetError):
            await one.fold_once(NOW)
    assert await pool.fetchval("select sum(last_seq) from learner_partitions") == 0
    assert await one.catch_up(NOW) == 10
    assert await world.learner(pool).catch_up(NOW) == 0
    async with pool.acquire() as connection:
        counted = await partitions.load(connection)
        heads = dict(await connection.fetch("select partition, seq from event_log_heads"))
    assert {p: one.place.last_seq for p, one in counted.items()} == heads
    total = population.Population()
    for each in counted.values():
        total.add(population.unpack(each.population))
    expected = population.Population()
    for _ in range(10):
        expected.bought((1, 2), 9, START.timestamp())
    assert total.baskets == pytest.approx(expected.baskets)
    assert total.hours[9] == pytest.approx(expected.hours[9])
    assert total.tags.tolist() == pytest.approx(expected.tags.tolist())


@pytest.mark.parametrize(
    ("kind", "after_s", "counts"),
    [
        (EventType.OPENED, delay.WINDOWS_S[0], True),
        (EventType.OPENED, delay.WINDOWS_S[0] + 1, False),
        (EventType.REDEEMED, delay.WINDOW_S, True),
        (EventType.REDEEMED, delay.WINDOW_S + 1, False),
        (EventType.REDEEMED, -300.0, True),
        (EventType.REDEEMED, -301.0, False),
    ],
)
@pytest.mark.parametrize("is_answer_first", [False, True])
async def test_the_edges_of_the_window(
    pool: asyncpg.Pool, kind: EventType, after_s: float, counts: bool, is_answer_first: bool
) -> None:
    exposed_at = START + HOUR
    async with pool.acquire() as connection:
        decided = await decide(connection, 1, START)
        shown = entry(1, EventType.ACCEPTED, exposed_at, decision_id=decided)
        answer = entry(1, kind, exposed_at + timedelta(seconds=after_s), decision_id=decided)
        one = world.learner(pool)
        for told in (answer, shown) if is_answer_first else (shown, answer):
            await log(connection, told)
            await one.fold_once(NOW)
    total = await everything(pool)
    assert total.totals[1] == 1.0
    assert (total.response.sum() > 0.0) == counts
    assert (await exposure_row(pool, 1))["exposed_at"] == exposed_at
    assert any((await exposure_row(pool, 1))[1:]) == counts
    assert await shown_of(pool, 1, "milk") == pytest.approx(0.0 if counts else 1.0, abs=2e-3)


async def test_an_answer_out_of_the_window_does_not_stand_in_the_way_of_one_within(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        decided = await decide(connection, 1, START)
        one = world.learner(pool)
        for kind, hours in ((EventType.ACCEPTED, 0), (EventType.REDEEMED, 80), (EventType.REDEEMED, 10)):
            await log(connection, entry(1, kind, START + hours * HOUR, decision_id=decided))
            await one.fold_once(NOW)
    assert (await exposure_row(pool, 1))["redeemed_at"] == START + 10 * HOUR


async def test_a_redemption_without_a_decision_belongs_to_the_latest_exposure_of_its_offer(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        one = world.learner(pool)
        shown = {}
        for hours, offer_id in ((0, 1), (1, 1), (2, 2), (8, 1)):
            at = START + hours * HOUR
            shown[hours] = await decide(connection, 1, at, [offer_id])
            await log(connection, entry(1, EventType.ACCEPTED, at, decision_id=shown[hours]))
            await one.fold_once(NOW)
        till = entry(1, EventType.REDEEMED, START + 3 * HOUR, offer_id=1)
        stranger = entry(2, EventType.REDEEMED, START + 3 * HOUR, offer_id=1)
        late = entry(1, EventType.REDEEMED, START + 2 * HOUR + timedelta(hours=72, seconds=1), offer_id=2)
        await log(connection, till, stranger, late)
        assert await one.fold_once(NOW) == 3
    rows = await pool.fetch("select decision_id, redeemed_at from exposures where redeemed_at is not null")
    assert [tuple(row) for row in rows] == [(shown[1], START + 3 * HOUR)]
    assert (await everything(pool)).answers[1] == pytest.approx(decay_weight((START + HOUR).timestamp()))


@pytest.mark.parametrize("order", ["ABT", "ATB", "TAB", "BTA", "TBA"])
async def test_what_a_till_tells_counts_the_same_before_and_after_the_exposures(pool: asyncpg.Pool, order: str) -> None:
    """A and B are showings of one offer, T the till's word of a redemption after both: it belongs to B, the later one."""
    async with pool.acquire() as connection:
        first, second = [await decide(connection, 1, START + hours * HOUR, [2, 1]) for hours in (0, 2)]
        told = {
            "A": entry(1, EventType.SHOWN, START, decision_id=first, slot=1),
            "B": entry(1, EventType.SHOWN, START + 2 * HOUR, decision_id=second, slot=1),
            "T": entry(1, EventType.REDEEMED, START + 3 * HOUR, offer_id=1),
        }
        one = world.learner(pool)
        for name in order:
            await log(connection, told[name])
            await one.fold_once(NOW)
    expected, phi = Tally(), world.phi_of(1, 2)[1]
    for hours in (0, 2):
        expected.add_exposure(phi, (START + hours * HOUR).timestamp())
    expected.add_reward(1, phi, (START + 2 * HOUR).timestamp(), 3600.0)
    assert_same(await everything(pool), expected.sums())
    rows = await pool.fetch("select decision_id, slot, redeemed_at from exposures order by decision_id")
    assert [tuple(row) for row in rows] == [(first, 1, None), (second, 1, START + 3 * HOUR)]
    assert await shown_of(pool, 1, "milk") == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize("order", ["SAR", "ASR", "RAS", "RSA", "ARS", "SRA"])
async def test_the_earliest_instant_of_an_exposure_counts(pool: asyncpg.Pool, order: str) -> None:
    """An hour lies between acceptance and showing; the redemption is within the window of the later one only."""
    redeemed_at = START + timedelta(hours=72, minutes=30)
    async with pool.acquire() as connection:
        decided = await decide(connection, 1, START)
        told = {
            "A": entry(1, EventType.ACCEPTED, START, decision_id=decided),
            "S": entry(1, EventType.SHOWN, START + HOUR, decision_id=decided),
            "R": entry(1, EventType.REDEEMED, redeemed_at, decision_id=decided),
        }
        one = world.learner(pool)
        for name in order:
            await log(connection, told[name])
            await one.fold_once(redeemed_at)
    expected = Tally()
    expected.add_exposure(world.phi_of(1, 1)[0], START.timestamp())
    assert_same(await everything(pool), expected.sums())
    assert tuple(await exposure_row(pool, 1)) == (START, None, None)
    assert await shown_of(pool, 1, "milk") == pytest.approx(1.0, abs=1e-2)


async def test_answers_are_forgotten_when_nothing_can_be_told_of_them_any_more(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        one = world.learner(pool)
        await log(connection, *[entry(1, EventType.REDEEMED, START + days * 24 * HOUR, offer_id=1) for days in (0, 3)])
        await one.fold_once(START)
        assert await pool.fetchval("select count(*) from answers") == 2
        decided = await decide(connection, 1, START)
        await log(connection, entry(1, EventType.ACCEPTED, START, decision_id=decided))
        late = world.learner(pool)  # it was away, and has the showing of the forgotten still to count
        await late.fold_once(START + answers.KEPT_FOR + timedelta(days=1))
    assert await pool.fetchval("select array_agg(answered_at) from answers") == [START + timedelta(days=3)]
    assert (await exposure_row(pool, 1))["redeemed_at"] == START


async def test_an_answer_that_was_counted_stays_when_it_is_kept_no_more(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        decided = await decide(connection, 1, START)
        one = world.learner(pool)
        await log(
            connection,
            entry(1, EventType.ACCEPTED, START, decision_id=decided),
            entry(1, EventType.REDEEMED, START + HOUR, offer_id=1),
        )
        await one.fold_once(START)
        before = await everything(pool)
        await one.fold_once(START + timedelta(days=20))
        assert await pool.fetchval("select count(*) from answers") == 0
        await log(connection, entry(1, EventType.REDEEMED, START + 2 * HOUR, decision_id=decided))
        await one.fold_once(START + timedelta(days=20))
    assert_same(await everything(pool), before)
    assert (await exposure_row(pool, 1))["redeemed_at"] == START + HOUR


async def test_answers_go_with_their_person_when_two_turn_out_to_be_one(pool: asyncpg.Pool) -> None:
    lost, kept = 7, 8
    async with pool.acquire() as connection:
        one = world.learner(pool)
        await log(connection, entry(lost, EventType.REDEEMED, START + HOUR, offer_id=1))
        await one.fold_once(NOW)
        async with connection.transaction():
            await merging.merge(connection, kept, lost, NOW, merged_state.merged)
        decided = await decide(connection, kept, START)
        await log(connection, entry(kept, EventType.ACCEPTED, START, decision_id=decided))
        await one.fold_once(NOW)
    assert (await exposure_row(pool, kept))["redeemed_at"] == START + HOUR


async def test_a_state_that_cannot_be_read_is_begun_anew(pool: asyncpg.Pool) -> None:
    def counted() -> float:
        return FAILURES.labels("unreadable_state")._value.get()

    before = counted()
    async with pool.acquire() as connection:
        for user_id in (1, 2):
            await connection.execute(
                "insert into user_state values ($1, $2, $2, now())", user_id, b"another version's bytes"
            )
        both = [entry(user_id, EventType.PURCHASE, START, tag_ids=(1,), local_hour=9) for user_id in (1, 3)]
        await log(connection, *both)
        assert await world.learner(pool).fold_once(NOW) == 2
        assert counted() == before + 2
        async with connection.transaction():
            await merging.merge(connection, 1, 2, NOW, merged_state.merged)
    assert counted() == before + 4
    assert float((await tastes_of(pool, 1)).header["baskets"][0]) == pytest.approx(1.0)
    visits = rhythm.unpack(await pool.fetchval("select rhythm from user_state where user_id = 1")).visits
    assert visits[9] == pytest.approx(1.0, rel=0.01)  # it weighs as its hour does, which may differ from its instant
    assert float((await tastes_of(pool, 3)).header["baskets"][0]) == pytest.approx(1.0)


async def test_a_slate_counts_slot_by_slot(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        decided = await decide(connection, 5, START, [2, 1])
        await log(
            connection,
            entry(5, EventType.SHOWN, START, decision_id=decided, slot=0),
            entry(5, EventType.SHOWN, START, decision_id=decided, slot=1),
            entry(5, EventType.OPENED, START + HOUR, decision_id=decided, slot=1),
            entry(5, EventType.OPENED, START + HOUR, decision_id=decided, slot=2),
            entry(5, EventType.SHOWN, START, decision_id=decided, slot=2),
        )
        await world.learner(pool).fold_once(NOW)
    expected = Tally()
    phi, at_s = world.phi_of(5, 2), START.timestamp()
    expected.add_exposure(phi[0], at_s)
    expected.add_exposure(phi[1], at_s)
    expected.add_reward(0, phi[1], at_s, 3600.0)
    assert_same(await everything(pool), expected.sums())
    assert await pool.fetch("select slot, offer_id from exposures order by slot") == [(0, 2), (1, 1)]


async def test_answers_of_decisions_that_offered_nothing_or_never_were_are_not_counted(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        quiet = await decide(connection, 1, START, action=0)
        other = await decide(connection, 2, START)
        made_up = world.decision_id(3, START)
        long_gone = world.decision_id(4, START - timedelta(days=31))
        entries = []
        for user_id, decided in ((1, quiet), (1, other), (3, made_up), (4, long_gone)):
            entries += [
                entry(user_id, EventType.SHOWN, START, decision_id=decided),
                entry(user_id, EventType.REDEEMED, START + HOUR, decision_id=decided, offer_id=2),
            ]
        await log(connection, *entries, entry(99, EventType.PURCHASE, START, tag_ids=(1,)))
        assert await world.learner(pool).catch_up(NOW) == 9
    assert await summed(pool) == {}
    assert await pool.fetchval("select count(*) from exposures") == 0
    # Kept for the case that the decision and its exposure come yet; but not under an id that cannot be one.
    rows = await pool.fetch("select user_id, answered_at, head, offer_id from answers order by user_id")
    assert [tuple(row) for row in rows] == [(user_id, START + HOUR, 1, 2) for user_id in (1, 1, 3)]
    assert await pool.fetchval("select count(*) from user_state") == 0


async def test_interest_by_the_tags_of_the_offer_but_never_of_a_sensitive_one(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        views = [entry(1, EventType.VIEW, START, tag_ids=(await tag(pool, "bread"),))]
        thumbs = [entry(1, EventType.THUMBS_UP, START, offer_id=offer_id) for offer_id in (1, 2, 3, 4)]
        await log(connection, *views, *thumbs)
        one = world.learner(pool)
        await one.fold_once(NOW)
        assert await interest_of(pool, 1, "milk") == pytest.approx(1.0)
        assert await interest_of(pool, 1, "bread") == pytest.approx(1.2)
        assert await interest_of(pool, 1, "bakery") == pytest.approx(1.0)
        assert await interest_of(pool, 1, "remedy") == await interest_of(pool, 1, "beer") == 0.0
        await log(
            connection, entry(1, EventType.DISMISSED, START, offer_id=2), entry(1, EventType.NOT_NOW, START, offer_id=1)
        )
        await one.fold_once(NOW)
        assert await interest_of(pool, 1, "milk") == pytest.approx(0.5)
        assert await interest_of(pool, 1, "bread") == pytest.approx(0.7)
        await log(connection, entry(1, EventType.THUMBS_DOWN, START, offer_id=1))
        await one.fold_once(NOW)
        assert await interest_of(pool, 1, "milk") == pytest.approx(-1.5)


async def test_purchases_and_visits_teach_the_rhythm(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await log(
            connection,
            entry(1, EventType.PURCHASE, START, tag_ids=(1,), local_hour=9),
            entry(1, EventType.APP_OPEN, START + 11 * HOUR, local_hour=20),
            entry(1, EventType.APP_OPEN, START + 30 * HOUR),
            entry(2, EventType.VIEW, START, tag_ids=(1,), local_hour=9),
        )
        await world.learner(pool).fold_once(NOW)
    visits = rhythm.unpack(await pool.fetchval("select rhythm from user_state where user_id = 1")).visits
    assert {int(hour): float(visits[hour]) for hour in visits.nonzero()[0]} == {
        9: pytest.approx(1.0, rel=0.01),
        20: pytest.approx(1.0, rel=0.01),
    }
    assert await pool.fetchval("select rhythm from user_state where user_id = 2") == b""


async def test_closed_cohorts_are_merged_and_late_rewards_go_there(pool: asyncpg.Pool) -> None:
    await shown_and_answered(pool, "shown", "opened")
    later = START + timedelta(hours=140)
    async with pool.acquire() as connection:
        one = world.learner(pool)
        late = [
            entry(u, EventType.REDEEMED, START + 5 * HOUR, decision_id=world.decision_id(u, START), offer_id=1)
            for u in (3, 6, 9)
        ]
        await log(connection, *late)
        await one.fold_once(later)
        touched = {partition_of(u) for u in (3, 6, 9)}
        assert {c for p, c in await partitions.load_sums(connection) if p in touched} == {CLOSED}
        assert_same(await everything(pool), expected_after())
        recent = await decide(connection, 3, later)
        await log(connection, entry(3, EventType.ACCEPTED, later, decision_id=recent))
        await one.fold_once(later)
        kept = [c for p, c in await partitions.load_sums(connection) if p == partition_of(3)]
    assert kept == [CLOSED, delay.cohort_at(later.timestamp(), later.timestamp())]


async def test_what_is_left_of_a_merged_person_s_entries_counts_for_who_they_are_now(pool: asyncpg.Pool) -> None:
    lost, kept = 7, 8
    assert partition_of(lost) != partition_of(kept)
    async with pool.acquire() as connection:
        one = world.learner(pool)
        await log(connection, entry(kept, EventType.PURCHASE, START, tag_ids=(1,), local_hour=9))
        await one.fold_once(NOW)
        await log(connection, entry(lost, EventType.PURCHASE, START, tag_ids=(2,), local_hour=9))
        await connection.execute("update users set merged_into = $1 where user_id = $2", kept, lost)
        before = (await partitions.load(connection))[partition_of(kept)].place
        await one.fold_once(NOW)
        after = (await partitions.load(connection))[partition_of(kept)].place
    assert float((await tastes_of(pool, kept)).header["baskets"][0]) == pytest.approx(2.0)
    assert await pool.fetchval("select count(*) from user_state where user_id = $1", lost) == 0
    # Another learner that remembers the kept person's partition as it was must miss.
    assert after == before._replace(revision=before.revision + 1)


async def test_it_learns_at_once_when_told_and_stops_when_asked(pool: asyncpg.Pool) -> None:
    class Fixed:
        async def now(self) -> Any:
            return NOW

    stop = asyncio.Event()
    task = asyncio.create_task(world.learner(pool).run(Fixed(), stop))
    try:
        await asyncio.sleep(0.2)
        async with pool.acquire() as connection:
            await log(connection, entry(1, EventType.PURCHASE, START, tag_ids=(1,), local_hour=9))
            told_at = time.perf_counter()
            while not await connection.fetchval("select count(*) from user_state"):
                await asyncio.sleep(0.005)
                assert time.perf_counter() - told_at < 0.8, "it waited for its own second"
    finally:
        stop.set()
        await asyncio.wait_for(task, 2.0)


async def test_a_learner_that_gathers_counts_at_once_when_somebody_waits(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fixed:
        async def now(self) -> Any:
            return NOW

    monkeypatch.setattr(pauses, "GATHERS_FROM", 1)
    monkeypatch.setattr(pauses, "GATHERS_S", 600.0)
    stop = asyncio.Event()
    async with pool.acquire() as connection:
        await log(connection, entry(1, EventType.PURCHASE, START, tag_ids=(1,)))
        task = asyncio.create_task(world.learner(pool).run(Fixed(), stop))
        try:
            async with asyncio.timeout(30.0):
                while not await connection.fetchval("select count(*) from user_state"):
                    await asyncio.sleep(0.01)
                async with connection.transaction():
                    bought = entry(2, EventType.PURCHASE, START, tag_ids=(1,))
                    await event_log.append(connection, [bought], START, event_log.IN_TIME)
                await log(connection, entry(3, EventType.PURCHASE, START, tag_ids=(1,)))
                while await connection.fetchval("select count(*) from user_state") < 3:
                    await asyncio.sleep(0.01)
        finally:
            stop.set()
            await asyncio.wait_for(task, 2.0)


async def test_learning_goes_on_after_whatever_happened(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        async def now(self) -> Any:
            return NOW

    fold, failed = learning.fold, 0

    def fails_in_two_rounds(*arguments: Any) -> Any:
        nonlocal failed
        failed += 1
        if failed <= 4:  # a round tries all of it, and then each alone
            raise ZeroDivisionError
        return fold(*arguments)

    monkeypatch.setattr(learning, "fold", fails_in_two_rounds)
    monkeypatch.setattr(learning, "RETRY_S", 0.05)
    before = FAILURES.labels("learner")._value.get()
    async with pool.acquire() as connection:
        await log(connection, entry(1, EventType.PURCHASE, START, tag_ids=(1,), local_hour=9))
    stop = asyncio.Event()
    task = asyncio.create_task(world.learner(pool).run(Fixed(), stop))
    try:
        async with asyncio.timeout(30.0):  # structlog's traceback of each failure takes seconds on a busy machine
            while not await pool.fetchval("select count(*) from user_state"):
                await asyncio.sleep(0.01)
    finally:
        stop.set()
        await asyncio.wait_for(task, 2.0)
    assert FAILURES.labels("learner")._value.get() == before + 2
    assert float((await tastes_of(pool, 1)).header["baskets"][0]) == pytest.approx(1.0)


async def test_a_pass_takes_many_purchases(pool: asyncpg.Pool) -> None:
    rng = np.random.default_rng(1)
    entries = [
        entry(
            int(rng.integers(1, 21)),
            EventType.PURCHASE,
            START + timedelta(seconds=n),
            tag_ids=tuple(rng.choice(302, 8, replace=False).tolist()),
            local_hour=n % 168,
        )
        for n in range(5_000)
    ]
    async with pool.acquire() as connection:
        await log(connection, *entries)
    one = world.learner(pool)
    assert await one.catch_up(NOW) == 5_000
