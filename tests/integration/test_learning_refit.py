"""Refits against real PostgreSQL: a new epoch holds all exposures, also those counted while it was fitted, and is all or nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from bandits import delay, event_time, posterior, refit, sums
from bandits.delay import CLOSED
from bandits.epoch import Epoch, Extent, begin
from bandits.features import DIMS, FEATURE_SET, LINK, PRIORS
from bandits.laplace import NotAPosteriorError
from bandits.step import WHOLE_UP_TO
from bandits.sums import Sums
from schema.event import EventType
from service.clock import SystemClock
from service.learning import books
from service.learning import refit as refitting
from service.learning.books import NewerProgramError
from service.learning.composer import Composer
from service.learning.refit import Refitter
from service.planning.ticks import _drop_old_days
from service.store import epochs, exposure_rows, merged_state, partitions, session_lock, snapshots
from service.store import merge as merging
from service.store import pool as pools
from service.store.epochs import EXPOSURES_KEPT_FOR
from service.telemetry import FAILURES, REFITS_REFUSED
from tests.counting import Tally
from tests.integration import learning_world as world
from tests.integration.learning_world import HOUR, START, decide, entry, log

NOW = START + timedelta(days=5)


@pytest_asyncio.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    opened = await pools.open_pool(database, 6)
    async with opened.acquire() as connection:
        await world.build(connection)
    yield opened
    await opened.close()


class Told:
    """What the learner was told, as rows."""

    def __init__(self) -> None:
        self.tally = Tally()

    async def show(self, pool: Any, at: datetime, people: range = range(1, 21)) -> None:
        """Everybody is shown an offer; every third opens it, every fourth redeems it."""
        async with pool.acquire() as connection:
            entries = []
            for user_id in people:
                decided, phi = await decide(connection, user_id, at), world.phi_of(user_id, 1)[0]
                entries.append(entry(user_id, EventType.ACCEPTED, at, decision_id=decided))
                self.tally.add_exposure(phi, at.timestamp())
                if user_id % 3 == 0:
                    entries.append(entry(user_id, EventType.OPENED, at + HOUR, decision_id=decided))
                    self.tally.add_reward(0, phi, at.timestamp(), 3600.0)
                if user_id % 4 == 0:
                    entries.append(entry(user_id, EventType.REDEEMED, at + 2 * HOUR, decision_id=decided))
                    self.tally.add_reward(1, phi, at.timestamp(), 7200.0)
            await log(connection, *entries)


async def in_force(pool: Any) -> Epoch:
    stored = await epochs.latest(pool)
    assert stored is not None
    return stored.epoch


async def counted(pool: Any) -> Sums:
    total = Sums(DIMS)
    async with pool.acquire() as connection:
        for data in (await partitions.load_sums(connection)).values():
            total.add(sums.unpack(data, DIMS))
    return total


def assert_same(found: Sums, wanted: Sums) -> None:
    for name in Sums.__slots__:
        scale = 1e-9 * max(1.0, float(np.abs(getattr(wanted, name)).max()))
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-9, atol=scale, err_msg=name)


async def test_a_new_epoch_holds_everything_and_the_posterior_stays_at_its_mode(pool: asyncpg.Pool) -> None:
    told, learner = Told(), world.learner(pool)
    for day in range(3):
        await told.show(pool, START + timedelta(hours=30 * day))
    await learner.catch_up(NOW)
    assert_same(await counted(pool), told.tally.sums())
    refitter = Refitter(pool)
    assert await refitter.refit_if_due(NOW)
    epoch = await in_force(pool)
    assert epoch.number == 1
    assert not np.allclose(epoch.modes, [prior.mean for prior in PRIORS])
    assert_same(await counted(pool), told.tally.sums(epoch))
    assert not await refitter.refit_if_due(NOW)  # nothing new
    assert await Composer(pool).publish(NOW)
    snapshot = await snapshots.load(pool, 1)
    assert (snapshot.epoch, snapshot.link) == (1, LINK)
    for head, mode, prior in zip(snapshot.heads, epoch.modes, PRIORS, strict=True):
        assert np.frombuffer(head.mode, "<f4") == pytest.approx(mode, rel=1e-6)
        away = np.abs(np.frombuffer(head.mean, "<f4") - mode) * np.sqrt(prior.precision)
        assert away.max() < (1e-2 if LINK == "logit" else 1.0)  # the identity's noise variance is estimated anew


async def test_an_epoch_keeps_when_answers_are_told(pool: asyncpg.Pool) -> None:
    told = Told()
    for day in range(3):
        await told.show(pool, START + timedelta(hours=30 * day))
    now = START + timedelta(days=10)
    await world.learner(pool).catch_up(now)
    assert await Refitter(pool).refit_if_due(now)
    opened, redeemed = (await in_force(pool)).tellings
    rows = sums.stack(told.tally.rows)
    came = rows.answered[:, 1] > 0.0
    weight = event_time.decay_weights(rows.exposed_at_s) / event_time.decay_weight(now.timestamp())
    counted = delay.told(rows.exposed_at_s[came], rows.age_s[came, 1], weight[came], now.timestamp())
    wanted = delay.learn(counted, delay.WINDOWS_S[1], np.zeros(7))
    np.testing.assert_allclose(redeemed.rates, wanted.rates, rtol=1e-9)
    np.testing.assert_allclose(redeemed.rhythm, wanted.rhythm, rtol=1e-9)
    after_two_hours = now.timestamp() - 2.5 * 3600.0
    assert delay.shares(redeemed, np.array([after_two_hours]), now.timestamp())[0] > 0.9
    assert not np.allclose(opened.rates, redeemed.rates)


def test_a_change_that_leads_far_from_the_mode_is_seen_at_the_next_look() -> None:
    rng = np.random.default_rng(1)
    phi = rng.uniform(0.0, 1.0, (2_000, DIMS)).astype(np.float32)
    answered = (rng.random((2_000, 2)) < 0.5).astype(float)
    ages, at_s = np.full((2_000, 2), 3600.0), np.full(2_000, START.timestamp())
    rows = sums.Rows(phi, at_s, np.zeros(2_000, np.float32), np.ones(2_000), answered, ages)
    stored, key = (
        epochs.StoredEpoch(begin(PRIORS, LINK), FEATURE_SET, Extent(2_000.0, 0.0, 2_000.0), START),
        (3, CLOSED),
    )
    _, extent, reach = refitting._look(stored, {key: sums.count(rows, stored.epoch).pack()}, [], NOW.timestamp())
    assert extent.exposures == 2_000
    assert reach > WHOLE_UP_TO
    damaged = sums.count(rows, stored.epoch)
    damaged.outer[0, 0] = np.nan
    assert refitting._look(stored, {key: damaged.pack()}, [], NOW.timestamp())[2] == np.inf


async def test_news_makes_the_next_snapshot_a_new_epoch_s(pool: asyncpg.Pool) -> None:
    told, learner, refitter, composer = Told(), world.learner(pool), Refitter(pool), Composer(pool)
    await told.show(pool, START)
    await learner.catch_up(NOW)
    assert await refitter.refit_if_due(NOW)
    assert await composer.publish_if_changed(NOW)
    assert not await composer.publish_if_changed(NOW + 5 * timedelta(seconds=1))
    await told.show(pool, START + HOUR)
    await learner.catch_up(NOW)
    assert await refitter.refit_if_due(NOW)
    assert (await in_force(pool)).number == 2
    assert_same(await counted(pool), told.tally.sums(await in_force(pool)))
    assert await composer.publish_if_changed(NOW + 10 * timedelta(seconds=1))
    latest = await snapshots.latest(pool)
    assert latest is not None
    assert latest.epoch == 2


async def test_what_is_counted_while_it_is_fitted_is_in_the_new_sums(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New exposures, late answers, an earlier showing of what is in the copy already, and people who turn out to be one."""
    told, learner, other = Told(), world.learner(pool), world.learner(pool)
    await told.show(pool, START + 10 * HOUR)
    await told.show(pool, START + 20 * HOUR)
    await learner.catch_up(NOW)
    look_up = refitting._published_means

    async def meanwhile(connection: Any, epoch: Epoch) -> Any:
        await told.show(pool, START + 30 * HOUR)
        at = START + 10 * HOUR
        phi, earlier = world.phi_of(5, 1)[0], at - HOUR
        late = entry(5, EventType.REDEEMED, at + HOUR, decision_id=world.decision_id(5, at))
        again = entry(5, EventType.SHOWN, earlier, decision_id=world.decision_id(5, at))
        told.tally.add_exposure(phi, at.timestamp(), -1.0)
        told.tally.add_exposure(phi, earlier.timestamp())
        told.tally.add_reward(1, phi, earlier.timestamp(), 7200.0)
        async with pool.acquire() as others:
            await log(others, late, again)
            await other.catch_up(NOW)
            async with others.transaction():
                await merging.merge(others, 6, 5, NOW, merged_state.merged)
        return await look_up(connection, epoch)

    monkeypatch.setattr(refitting, "_published_means", meanwhile)
    assert await Refitter(pool).refit_if_due(NOW)
    monkeypatch.undo()
    assert_same(await counted(pool), told.tally.sums(await in_force(pool)))
    # Both learners remember the epoch before: they are overtaken, load anew, and count on.
    await told.show(pool, START + 40 * HOUR, range(7, 21))
    assert await learner.catch_up(NOW) > 0
    await told.show(pool, START + 41 * HOUR, range(7, 21))
    assert await other.catch_up(NOW) > 0
    assert_same(await counted(pool), told.tally.sums(await in_force(pool)))


async def test_of_refits_at_once_one_works_and_learners_go_on(pool: asyncpg.Pool) -> None:
    told, learner = Told(), world.learner(pool)
    await told.show(pool, START)
    await learner.catch_up(NOW)
    for step in range(6):
        await told.show(pool, START + (step + 1) * HOUR)
        worked = await asyncio.gather(*[Refitter(pool).refit_if_due(NOW) for _ in range(3)], learner.fold_once(NOW))
        assert sum(map(bool, worked[:3])) >= 1 - step
    await learner.catch_up(NOW)
    assert_same(await counted(pool), told.tally.sums(await in_force(pool)))


@pytest.mark.parametrize("dies_at", ["add", "replace_sums"])
async def test_a_crash_leaves_the_epoch_before(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    told, learner = Told(), world.learner(pool)
    await told.show(pool, START)
    await learner.catch_up(NOW)
    where: Any = refitting.epochs if dies_at == "add" else refitting.partitions
    work = getattr(where, dies_at)

    async def dies(*arguments: Any) -> None:
        await work(*arguments)
        raise ConnectionResetError

    monkeypatch.setattr(where, dies_at, dies)
    with pytest.raises(ConnectionResetError):
        await Refitter(pool).refit_if_due(NOW)
    monkeypatch.undo()
    assert (await in_force(pool)).number == 0
    assert_same(await counted(pool), told.tally.sums())
    assert await Refitter(pool).refit_if_due(NOW)
    assert_same(await counted(pool), told.tally.sums(await in_force(pool)))


async def test_a_refit_that_fails_is_refused_told_and_not_tried_until_there_is_news(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, learner = Told(), world.learner(pool)
    await told.show(pool, START)
    await learner.catch_up(NOW)
    before, refitter = REFITS_REFUSED._value.get(), Refitter(pool)

    def worse(*arguments: Any) -> Any:
        raise NotAPosteriorError("the mode found is worse than the one in force")

    def overflowed(*arguments: Any) -> Any:
        fitted = refit.refit(*arguments)
        return fitted._replace(epoch=fitted.epoch._replace(modes=np.full_like(fitted.epoch.modes, np.inf)))

    for step, fails in enumerate((worse, overflowed), start=1):
        monkeypatch.setattr(refitting, "refit", SimpleNamespace(refit=fails, tellings=refit.tellings))
        assert not await refitter.refit_if_due(NOW)
        assert REFITS_REFUSED._value.get() == before + step
        assert not await refitter.refit_if_due(NOW + HOUR / 2)
        assert REFITS_REFUSED._value.get() == before + step
        assert (await in_force(pool)).number == 0
        assert_same(await counted(pool), told.tally.sums())
        await told.show(pool, START + step * HOUR)
        await learner.catch_up(NOW)
    monkeypatch.undo()
    assert not await refitter.refit_if_due(NOW)  # after two in a row not at once
    assert await refitter.refit_if_due(NOW + timedelta(seconds=5))
    assert_same(await counted(pool), told.tally.sums(await in_force(pool)))


@pytest.mark.parametrize("error", [ValueError("damaged"), OSError("no space"), MemoryError()])
async def test_a_refit_that_fails_in_whatever_way_is_tried_again_ever_more_rarely(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    told, refitter = Told(), Refitter(pool)
    await told.show(pool, START)
    await world.learner(pool).catch_up(NOW)
    tries = []

    def fails(spool: Any, epoch: Epoch, now_s: float) -> Any:
        tries.append(now_s - NOW.timestamp())
        raise error

    monkeypatch.setattr(refitting, "_count", fails)
    for second in range(60):
        with contextlib.suppress(type(error)):
            assert not await refitter.refit_if_due(NOW + timedelta(seconds=second))
    assert tries == [0, 1, 6, 21, 56]
    monkeypatch.undo()
    assert await refitter.refit_if_due(NOW + timedelta(hours=1))


async def test_the_lock_of_a_refit_never_stays_with_the_pool(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the unlocking is not answered the session is ended, and with it the lock is gone."""
    told, refitter = Told(), Refitter(pool)
    await told.show(pool, START)
    await world.learner(pool).catch_up(NOW)
    monkeypatch.setattr(session_lock, "_UNLOCK", "select pg_sleep(0), 1 / (0 * $1::bigint)")
    assert await refitter.refit_if_due(NOW)
    assert await pool.fetchval("select count(*) from pg_locks where locktype = 'advisory'") == 0
    monkeypatch.undo()
    await told.show(pool, START + HOUR)
    await world.learner(pool).catch_up(NOW)
    assert await Refitter(pool).refit_if_due(NOW)


async def test_of_two_releases_side_by_side_the_older_one_waits(pool: asyncpg.Pool) -> None:
    """It throws no sums of the newer away, publishes nothing over its snapshots, and goes on when the newer is gone."""
    told, composer, older = Told(), Composer(pool), world.learner(pool)
    await told.show(pool, START)
    await older.catch_up(NOW)
    assert await composer.publish_if_changed(NOW)
    kept = await counted(pool)
    async with pool.acquire() as connection, connection.transaction():
        await partitions.hold_all(connection)
        await connection.execute("update epochs set feature_set = $1", FEATURE_SET + 1)
    await told.show(pool, START + HOUR)
    assert await older.fold_once(NOW) == 0  # overtaken: it forgets what it remembers
    with pytest.raises(NewerProgramError):
        await older.fold_once(NOW)
    assert not await Refitter(pool).refit_if_due(NOW)
    assert not await composer.publish_if_changed(NOW + 2 * HOUR)
    assert_same(await counted(pool), kept)
    assert await pool.fetchval("select count(*) from epochs") == 1

    before, stop = FAILURES.labels("older_program")._value.get(), asyncio.Event()
    running = asyncio.create_task(older.run(SystemClock(), stop))
    await asyncio.sleep(0.3)
    assert FAILURES.labels("older_program")._value.get() == before + 1
    stop.set()
    await running

    await pool.execute("update epochs set feature_set = $1", FEATURE_SET)
    await older.catch_up(NOW)
    assert_same(await counted(pool), told.tally.sums())


async def test_a_refit_that_was_cut_off_is_tried_again(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    told, refitter = Told(), Refitter(pool)
    await told.show(pool, START)
    await world.learner(pool).catch_up(NOW)

    async def lost(*arguments: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(refitting.exposure_rows, "changed_since", lost)
    with pytest.raises(ConnectionResetError):
        await refitter.refit_if_due(NOW)
    monkeypatch.undo()
    assert await refitter.refit_if_due(NOW)


async def test_what_is_not_a_number_teaches_nothing(pool: asyncpg.Pool) -> None:
    told, learner = Told(), world.learner(pool)
    await told.show(pool, START, range(1, 20))
    infinite = "set phi = set_byte(set_byte(phi, 3, 127), 2, 128)"
    async with pool.acquire() as connection:
        decided = await decide(connection, 20, START)
        await connection.execute(f"update decisions {infinite} where user_id = 20")
        await log(connection, entry(20, EventType.ACCEPTED, START, decision_id=decided))
    await learner.catch_up(NOW)
    assert_same(await counted(pool), told.tally.sums())
    await pool.execute(f"update exposures {infinite} where user_id = 19")
    assert await Refitter(pool).refit_if_due(NOW)
    left = Tally()
    left.rows = [row for row in told.tally.rows if not np.array_equal(row.phi, world.phi_of(19, 1)[0])]
    assert_same(await counted(pool), left.sums(await in_force(pool)))


async def test_epochs_of_other_features_are_left_behind(pool: asyncpg.Pool) -> None:
    told, learner = Told(), world.learner(pool)
    await told.show(pool, START)
    await learner.catch_up(NOW)
    await pool.execute("update epochs set feature_set = $1", FEATURE_SET - 1)
    await pool.execute("update exposures set phi = substr(phi, 5) where user_id > 10")
    assert not await Refitter(pool).refit_if_due(NOW)
    assert await Composer(pool).publish(NOW)  # the prior alone
    snapshot = await snapshots.load(pool, 1)
    assert np.frombuffer(snapshot.heads[1].mean, "<f4") == pytest.approx(PRIORS[1].mean)
    await world.learner(pool).catch_up(NOW)
    stored = await epochs.latest(pool)
    assert stored is not None
    assert (stored.epoch.number, stored.feature_set) == (1, FEATURE_SET)
    assert not (await counted(pool)).totals.any()
    # What is of these features is learned from all the same.
    assert await Refitter(pool).refit_if_due(NOW)
    left = Tally()
    left.rows = [
        row for row in told.tally.rows if any(np.array_equal(row.phi, world.phi_of(u, 1)[0]) for u in range(1, 11))
    ]
    assert_same(await counted(pool), left.sums(await in_force(pool)))


async def test_only_rows_of_the_features_of_this_program_are_learned_from(pool: asyncpg.Pool) -> None:
    """A release that means something else by a column reads nothing of what the one before wrote, even of the same width."""
    told, learner = Told(), world.learner(pool)
    await told.show(pool, START)
    async with pool.acquire() as connection:
        older = await decide(connection, 1, START + HOUR, feature_set=FEATURE_SET - 1)
        await log(connection, entry(1, EventType.ACCEPTED, START + HOUR, decision_id=older))
    await learner.catch_up(NOW)
    assert_same(await counted(pool), told.tally.sums())
    assert await pool.fetchval("select array_agg(distinct feature_set) from exposures") == [FEATURE_SET]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("update exposures set feature_set = $1 where user_id > 12", FEATURE_SET - 1)
        async with exposure_rows.spool(connection, START) as spool:
            assert len(spool) == 12
            assert len(await exposure_rows.changed_since(connection, spool)) == 0
    assert await Refitter(pool).refit_if_due(NOW)
    assert (await counted(pool)).totals[1] == 12


async def test_while_an_epoch_waits_for_its_sums_the_last_snapshot_stays(pool: asyncpg.Pool) -> None:
    """As a migration leaves it that had to drop the sums."""
    told, composer, later = Told(), Composer(pool), NOW + timedelta(hours=2)
    await told.show(pool, START)
    await world.learner(pool).catch_up(NOW)
    assert await Refitter(pool).refit_if_due(NOW)
    assert await composer.publish_if_changed(NOW)
    await pool.execute("delete from learner_sums")
    await pool.execute("update epochs set exposures = -1, answers = -1, matured = -1 where number = 1")
    assert not await composer.publish_if_changed(later)
    assert await Refitter(pool).refit_if_due(later)
    assert_same(await counted(pool), told.tally.sums(await in_force(pool)))
    assert await composer.publish_if_changed(later)


async def test_what_is_too_old_leaves_the_sums_with_a_refit_and_only_then_goes(pool: asyncpg.Pool) -> None:
    told, kept, learner = Told(), Told(), world.learner(pool)
    await told.show(pool, START)
    await learner.catch_up(NOW)
    assert await Refitter(pool).refit_if_due(NOW)
    later = START + EXPOSURES_KEPT_FOR + timedelta(days=10)
    before = len(told.tally.rows)
    await told.show(pool, later - timedelta(days=5))
    kept.tally.rows = told.tally.rows[before:]
    async with pool.acquire() as connection:
        await learner.catch_up(later)
        await _drop_old_days(connection, later)
        assert await connection.fetchval("select count(*) from exposures") == 40
        assert_same(await counted(pool), told.tally.sums(await in_force(pool)))
        assert await Refitter(pool).refit_if_due(later)
        assert_same(await counted(pool), kept.tally.sums(await in_force(pool)))
        await _drop_old_days(connection, later)
        assert await connection.fetchval("select count(*) from exposures") == 20
        # The same from what is left.
        await connection.execute("update epochs set exposures = -1, answers = -1, matured = -1")
        assert await Refitter(pool).refit_if_due(later)
        assert_same(await counted(pool), kept.tally.sums(await in_force(pool)))


async def test_exposures_are_read_as_they_were_written(pool: asyncpg.Pool) -> None:
    told, learner = Told(), world.learner(pool)
    await told.show(pool, START + timedelta(microseconds=123_457))
    await learner.catch_up(NOW)
    reading: Any = {"isolation": "repeatable_read", "readonly": True}
    async with (
        pool.acquire() as connection,
        connection.transaction(**reading),
        exposure_rows.spool(connection, START) as spool,
    ):
        (rows,) = spool.blocks()
        assert len(spool) == 20
        assert len(list(spool.blocks())) == 1
    assert_same(sums.count(rows, await in_force(pool)), told.tally.sums())
    assert sorted(rows.phi.tolist()) == sorted(world.phi_of(user_id, 1)[0].tolist() for user_id in range(1, 21))
    assert set(rows.exposed_at_s) == {(START + timedelta(microseconds=123_457)).timestamp()}


async def test_an_empty_log_is_an_empty_copy(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await books.load(connection, NOW)
        reading: Any = {"isolation": "repeatable_read", "readonly": True}
        async with connection.transaction(**reading), exposure_rows.spool(connection, START) as spool:
            assert len(spool) == 0
            assert list(spool.blocks()) == []
        changed = await exposure_rows.changed_since(connection, spool)
        assert len(changed) == len(spool.of(changed)) == 0
    assert not await Refitter(pool).refit_if_due(NOW)
    assert posterior.extent({}, begin(PRIORS, LINK), NOW.timestamp()) == Extent(0.0, 0.0, 0.0)
