"""Planning against PostgreSQL: the audience, restarts in the middle, several planners, pauses."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from typing import Any

import asyncpg
import pytest

from bandits.rhythm import Rhythm
from push import agenda
from push.campaign import campaigns, occurrences
from push.outbox import State
from push.planning import plan_pipeline
from push.planning.plan_meter import Unmetered
from push.planning.planner import Planner
from schema.audience import Audience
from schema.campaign import Planning, StoredCampaign
from schema.ids import partition_of
from schema.offer import Creative
from service.planning.plan_obstacles import CatalogueObstacles
from service.store.catalogue import CatalogueCache
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, SEED, STARTS_AT, states
from tests.planning import FirstAllowed

BEFORE = STARTS_AT.replace(tzinfo=UTC) - HOUR
WEEK = timedelta(weeks=1)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 6) as pool:
        yield pool


def a_planner(pool: asyncpg.Pool) -> Planner:
    return Planner(pool, FirstAllowed(), SEED)


async def rows(pool: asyncpg.Pool) -> list[Any]:
    return await pool.fetch(  # type: ignore[no-any-return] # asyncpg is untyped
        "select user_id, bucket, occurrence_at, send_at, outbox_id from outbox order by user_id, occurrence_at"
    )


async def test_everyone_reachable_is_planned_once(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 12, zone=None)
    await pool.execute("update users set has_push_consent = false where user_id = 1")
    await pool.execute("update users set opted_out_at = created_at where user_id = 2")
    await pool.execute("update users set merged_into = 12 where user_id = 3")
    await pool.execute("delete from devices where user_id = 4")
    await pool.execute("update devices set is_push_enabled = false where user_id = 5")
    await pool.execute("update devices set last_seen_at = last_seen_at - interval '271 days' where user_id = 6")
    await pool.execute("update devices set time_zone = 'Asia/Kolkata' where user_id = 7")
    await push_world.campaign(pool)
    at = occurrences.plan_at(STARTS_AT, ["Asia/Kolkata"])
    assert await a_planner(pool).plan_due(at - timedelta(seconds=1)) == 0
    assert await a_planner(pool).plan_due(at) == 6
    assert await a_planner(pool).plan_due(BEFORE) == 0
    found = await rows(pool)
    assert [row["user_id"] for row in found] == list(range(7, 13))
    assert all(row["bucket"] == partition_of(row["user_id"]) for row in found)
    hours = [row["send_at"] - NOW.replace(hour=0) for row in found]
    assert timedelta() <= hours[0] + 5.5 * HOUR <= timedelta(minutes=55)
    assert all(timedelta() <= late <= timedelta(minutes=55) for late in hours[1:])


async def test_planning_waits_for_the_hour_before_the_first_persons_monday(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 2, zone="America/Los_Angeles")
    await pool.execute("update users set time_zone = 'America/New_York' where user_id = 2")
    await push_world.campaign(pool, default_time_zone="America/Denver")
    at = occurrences.plan_at(STARTS_AT, ["America/New_York"])
    assert await a_planner(pool).plan_due(occurrences.due_from(STARTS_AT)) == 0
    assert await pool.fetchval("select plan_at from campaigns") == at
    assert not (await agenda.look(pool, at - timedelta(seconds=1))).has_to_plan
    assert (await agenda.look(pool, at)).has_to_plan
    assert await a_planner(pool).plan_due(at) == 2


async def test_the_active_are_those_who_came_or_whose_phone_reported_itself(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 4)
    await pool.execute("update devices set last_seen_at = $1 where user_id > 1", NOW - timedelta(days=40))
    for user_id, age_days in ((2, 5), (3, 31)):
        rhythm = Rhythm()
        rhythm.visited(3, (NOW - timedelta(days=age_days)).timestamp())
        await pool.execute("insert into user_state values ($1, '', $2, $3)", user_id, rhythm.pack(), NOW)
    await pool.execute("insert into user_state values (4, '', '', $1)", NOW)
    assert await push_world.audience_ids(pool, Audience(active_within_days=30)) == [1, 2]
    assert await push_world.audience_ids(pool, Audience()) == [1, 2, 3, 4]


async def test_planning_goes_on_where_it_stopped(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_pipeline, "BLOCK_PEOPLE", 4)
    await push_world.people(pool, 14)
    stored = await push_world.campaign(pool)

    class Dies(FirstAllowed):
        calls = 0

        def draw(self, *given: Any) -> Any:
            self.calls += 1
            if self.calls == 4:
                raise RuntimeError("killed")
            return super().draw(*given)

    with pytest.raises(RuntimeError, match="killed"):
        await Planner(pool, Dies(), SEED).plan_due(BEFORE)
    before = await rows(pool)
    assert len(before) in {4, 8, 12}
    assert await campaigns.begin_occurrence(pool, stored.id, STARTS_AT) == len(before)
    assert await a_planner(pool).plan_due(BEFORE) == 14 - len(before)
    after = await rows(pool)
    assert [row["user_id"] for row in after] == list(range(1, 15))
    assert after[: len(before)] == before
    assert await campaigns.begin_occurrence(pool, stored.id, STARTS_AT) is None


async def test_planners_at_once_do_no_harm(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_pipeline, "BLOCK_PEOPLE", 20)
    await push_world.people(pool, 300)
    for name in ("a", "b", "c"):
        await push_world.campaign(pool, name, recurrence="weekly", ends_at=STARTS_AT + 3 * WEEK)
    planned = await asyncio.gather(*(a_planner(pool).plan_due(BEFORE) for _ in range(4)))
    assert sum(planned) == 900
    assert await pool.fetchval("select count(*) from occurrences where is_planned") == 3
    waiting = await pool.fetch("select distinct next_occurrence_at, plan_at from campaigns")
    assert [row[0].replace(tzinfo=None) for row in waiting] == [STARTS_AT + WEEK]


async def test_weeks_follow_each_other_and_those_missed_in_a_pause_are_passed_over(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 2)
    await push_world.campaign(pool, recurrence="weekly", ends_at=STARTS_AT + 5 * WEEK)
    assert await a_planner(pool).plan_due(BEFORE) == 2
    async with pool.acquire() as connection:
        await campaigns.set_status(connection, "lunch", "paused", NOW)
        assert await a_planner(pool).plan_due(BEFORE + 3 * WEEK) == 0
        await campaigns.set_status(connection, "lunch", "active", NOW)
    assert await a_planner(pool).plan_due(BEFORE + 3 * WEEK + 24 * HOUR) == 2
    weeks = {(row["occurrence_at"].replace(tzinfo=None) - STARTS_AT) // WEEK for row in await rows(pool)}
    assert weeks == {0, 3}
    assert await a_planner(pool).plan_due(BEFORE + 9 * WEEK) == 0
    assert await pool.fetchval("select next_occurrence_at is null and plan_at is null from campaigns")


async def test_a_campaign_that_ends_while_it_is_planned_leaves_nothing_to_send(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_pipeline, "BLOCK_PEOPLE", 4)
    await push_world.people(pool, 20)
    await push_world.campaign(pool)
    loop = asyncio.get_running_loop()

    async def end() -> None:
        async with pool.acquire() as connection:
            await campaigns.set_status(connection, "lunch", "ended", NOW)

    class Ends(FirstAllowed):
        calls = 0

        def draw(self, *given: Any) -> Any:
            self.calls += 1
            if self.calls == 4:
                asyncio.run_coroutine_threadsafe(end(), loop).result(5)
            return super().draw(*given)

    planned = await Planner(pool, Ends(), SEED).plan_due(BEFORE)
    assert planned in {4, 8, 12}
    assert await states(pool) == {State.WITHDRAWN: planned}


async def test_who_was_overtaken_writes_nothing(pool: asyncpg.Pool) -> None:
    """Another planner was quicker, and since then somebody was erased: they do not come back."""
    await push_world.people(pool, 10)
    await push_world.campaign(pool)
    loop = asyncio.get_running_loop()

    async def overtake() -> None:
        assert await a_planner(pool).plan_due(BEFORE) == 10
        await pool.execute("delete from outbox where user_id = 3")

    class Late(FirstAllowed):
        def draw(self, *given: Any) -> Any:
            asyncio.run_coroutine_threadsafe(overtake(), loop).result(20)
            return super().draw(*given)

    assert await Planner(pool, Late(), SEED).plan_due(BEFORE) == 0
    assert [row["user_id"] for row in await rows(pool)] == [1, 2, 4, 5, 6, 7, 8, 9, 10]


async def test_a_planner_told_to_end_lets_go_of_everything(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_pipeline, "BLOCK_PEOPLE", 2)
    await push_world.people(pool, 40)
    await push_world.campaign(pool)
    has_begun = asyncio.Event()

    class Begun(Unmetered):
        def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
            has_begun.set()

    work = asyncio.ensure_future(Planner(pool, FirstAllowed(), SEED, meter=Begun()).plan_due(BEFORE))
    await has_begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert pool.get_idle_size() == pool.get_size()
    before = len(await rows(pool))
    assert 0 < before < 40
    assert await a_planner(pool).plan_due(BEFORE) == 40 - before


class Told(Unmetered):
    """Remembers what planning told."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.done_rows: list[int] = []
        self.reasons: list[str] = []

    def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
        self.shares.append(share)

    def done(self, campaign: StoredCampaign, rows: int) -> None:
        self.done_rows.append(rows)

    def held(self, campaign: StoredCampaign, why: str) -> None:
        self.reasons.append(why)


async def test_planning_tells_how_far_it_is(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_pipeline, "BLOCK_PEOPLE", 5)
    await push_world.people(pool, 20)
    stored = await push_world.campaign(pool)
    assert await campaigns.planning(pool, stored.id) is None
    told = Told()
    assert await Planner(pool, FirstAllowed(), SEED, meter=told).plan_due(BEFORE) == 20
    assert told.shares == [0.25, 0.5, 0.75, 1.0]
    assert told.done_rows == [20]
    assert await campaigns.planning(pool, stored.id) == Planning(STARTS_AT, is_done=True, share=1.0, obstacle=None)
    await pool.execute("update occurrences set is_planned = false, planned_through = 5")
    assert await campaigns.planning(pool, stored.id) == Planning(STARTS_AT, is_done=False, share=0.25, obstacle=None)


async def test_a_campaign_whose_offers_are_gone_waits_and_says_why(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 3)
    await push_world.offer(pool, "tea", is_paused=True)
    stored = await push_world.campaign(pool, offers=["coffee", "tea"])
    told = Told()
    planner = Planner(pool, FirstAllowed(), SEED, obstacles=CatalogueObstacles(CatalogueCache()), meter=told)
    assert await planner.plan_due(BEFORE) == 0
    assert await planner.plan_due(BEFORE) == 0
    assert told.reasons == ["no_redeemable_offer"]  # once
    waiting = Planning(STARTS_AT, is_done=False, share=0.0, obstacle="no_redeemable_offer")
    assert await campaigns.planning(pool, stored.id) == waiting
    await push_world.offer(pool, "coffee")
    assert await planner.plan_due(BEFORE + HOUR) == 3
    assert await campaigns.planning(pool, stored.id) == Planning(STARTS_AT, is_done=True, share=1.0, obstacle=None)


async def test_what_has_become_too_long_for_a_push_is_not_planned(pool: asyncpg.Pool) -> None:
    await push_world.people(pool, 3)
    long = Creative(
        title="\N{SEEDLING}" * 120, body="\N{SEEDLING}" * 400, image_url="https://example.com/" + "y" * 2_000
    )
    await push_world.offer(pool, "coffee", creative=long)
    stored = await push_world.campaign(pool, offers=["coffee"])
    planner = Planner(pool, FirstAllowed(), SEED, obstacles=CatalogueObstacles(CatalogueCache()))
    assert await planner.plan_due(BEFORE) == 0
    found = await campaigns.planning(pool, stored.id)
    assert found is not None
    assert found.obstacle == "payload_too_long"
    await push_world.offer(pool, "tea")
    other = await push_world.campaign(pool, "any")
    assert await planner.plan_due(BEFORE) == 3
    assert (await campaigns.planning(pool, other.id)) == Planning(STARTS_AT, is_done=True, share=1.0, obstacle=None)
