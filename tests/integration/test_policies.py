"""Policies judged on a log of the real pipeline: a better one is promoted, a worse one and an exploding one are refused in words."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from bandits.policies.model import Model
from schema.policy import PolicySettings
from schema.policy_evaluation import EvaluationRequest, PromotionRequest
from service.decision import policy
from service.errors import ApiError
from service.policies import promotion
from service.policies.promotion import Judged
from service.store import policy_log
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.policies import InForce
from service.store.policy_log import Part
from service.store.pool import open_pool
from tests.deciding import NOW
from tests.integration import policy_world
from tests.integration.policy_world import LATER

EVEN = PolicySettings(name="even", kind="uniform")
BOLD = PolicySettings(name="bold", exploration=0.3)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


@pytest.fixture
async def model(pool: asyncpg.Pool) -> Model:
    return await policy_world.open_shop(pool, 160)


async def made(pool: asyncpg.Pool, settings: PolicySettings) -> None:
    async with pool.acquire() as connection:
        await promotion.create(connection, settings, NOW, "test")


async def judged(pool: asyncpg.Pool, name: str, **asked: Any) -> Judged:
    async with pool.acquire() as connection:
        return await promotion.judge(connection, CatalogueCache(), name, EvaluationRequest(**asked), LATER)


async def promoted(pool: asyncpg.Pool, name: str, **request: Any) -> Any:
    given = PromotionRequest(**request)
    found = await judged(pool, name)
    async with pool.acquire() as connection, connection.transaction():
        return await promotion.promote(connection, found, given, LATER, "test")


async def in_force(pool: asyncpg.Pool) -> str:
    async with pool.acquire() as connection:
        return (await promotion.overview(connection)).in_force


async def test_a_policy_that_is_truly_better_is_promoted_and_a_worse_one_refused(
    pool: asyncpg.Pool, model: Model
) -> None:
    await made(pool, EVEN)
    forced = await promoted(pool, "even", is_forced=True, reason="to explore")
    assert (forced.is_forced, forced.reason, forced.promoted_by) == (True, "to explore", "test")
    assert forced.evaluation["reasons"] == ["the log holds no decision that could be judged"]
    assert await in_force(pool) == "even@1"
    even = InForce(forced.promotion_id, 0, "even", 1, EVEN)
    logged = await policy_world.decide(pool, model, policy_world.in_app, even, range(8))
    assert {one.policy for one in logged} == {"even@1"}
    redeemed = await policy_world.answer(pool, logged)

    told = (await judged(pool, "default")).evaluation
    assert (told.challenger, told.incumbent, told.decisions) == ("default@0", "even@1", 1_280)
    assert 155 <= told.people_groups <= 160
    assert (told.skipped, told.trustworthy, told.is_better) == ({}, True, True)
    assert told.value_in_force["ips"].value == pytest.approx(redeemed / 1_280)
    truth = policy_world.WANTED * 0.9
    low, high = told.value["dr"].low, told.value["dr"].high
    assert low is not None
    assert high is not None
    assert low < truth < high + 0.1
    assert told.weights_in_force.max_weight == 1.0
    assert "earns" in told.conclusion

    better = await promoted(pool, "default")
    assert (better.is_forced, better.name, better.version) == (False, "default", 0)
    assert better.reason == told.conclusion
    assert await in_force(pool) == "default@0"
    with pytest.raises(ApiError, match="not shown that even@1 earns more than default@0") as refused:
        await promoted(pool, "even")
    assert (refused.value.status, refused.value.code) == (409, "promotion_refused")
    assert await in_force(pool) == "default@0"


async def test_a_log_whose_weights_explode_is_refused_in_words(pool: asyncpg.Pool, model: Model) -> None:
    sure = PolicySettings(name="sure", exploration=0.01, floor=0.0001)
    logged = await policy_world.decide(pool, model, policy_world.in_app, InForce(1, 0, "sure", 1, sure), range(2))
    await policy_world.answer(pool, logged)
    await made(pool, EVEN)
    told = (await judged(pool, "even")).evaluation
    assert not told.trustworthy
    assert told.weights.mean_weight < 0.7
    with pytest.raises(ApiError, match="The log cannot tell whether even@1 earns more than default@0") as refused:
        await promoted(pool, "even")
    assert refused.value.code == "promotion_refused"
    assert [one.detail for one in refused.value.errors] == told.reasons
    assert any("mean weight" in reason for reason in told.reasons)
    with pytest.raises(ApiError, match="needs a reason"):
        promotion.check(PromotionRequest(is_forced=True, reason=" "))


async def test_pushes_are_judged_with_no_send_as_an_action(pool: asyncpg.Pool, model: Model) -> None:
    logged = await policy_world.decide(pool, model, policy_world.push, policy.DEFAULT, range(3))
    redeemed = await policy_world.answer(pool, logged)
    sent = sum(one.action for one in logged)
    assert 0 < sent < len(logged)
    await made(pool, BOLD)
    told = (await judged(pool, "bold", channel="push")).evaluation
    assert told.decisions == len(logged)
    assert told.value_in_force["ips"].value == pytest.approx((redeemed - 0.05 * sent) / len(logged))
    assert told.value_in_force["dr"].value == pytest.approx(told.value_in_force["ips"].value, abs=0.02)
    assert told.weights.mean_weight == pytest.approx(1.0, abs=0.1)
    assert told.weights_in_force.mean_weight == pytest.approx(1.0, abs=1e-9)
    assert (await judged(pool, "bold", channel="in_app")).evaluation.decisions == 0
    with pytest.raises(ApiError, match="no such campaign"):
        await judged(pool, "bold", campaign_id="lunch")


async def test_what_counts_is_what_was_decided_by_policy_and_is_over(pool: asyncpg.Pool, model: Model) -> None:
    def asks(turn: int, user_id: int, over: InForce) -> Any:
        return policy_world.in_app(turn, user_id, over, holdout_share=0.2, control_share=0.2)

    logged = await policy_world.decide(pool, model, asks, policy.DEFAULT, range(2))
    await policy_world.answer(pool, logged)
    by_policy = [one for one in logged if not one.in_holdout and not one.in_control]
    assert {one.policy for one in logged if one.in_control} == {"uniform"}
    await made(pool, BOLD)
    told = (await judged(pool, "bold")).evaluation
    assert told.decisions == len(by_policy) < len(logged)
    assert told.until == LATER - timedelta(hours=78)
    at_random = (await judged(pool, "bold", group="control")).evaluation
    assert at_random.decisions == sum(one.in_control for one in logged)
    assert (at_random.skipped, at_random.weights.max_weight > 2.0) == ({}, True)
    first_hour = (await judged(pool, "bold", until=NOW + timedelta(minutes=30))).evaluation
    assert first_hour.decisions == sum(one.decided_at < NOW + timedelta(minutes=30) for one in by_policy)
    assert (await judged(pool, "bold", since=LATER)).evaluation.decisions == 0
    assert (await judged(pool, "bold", decisions_max=50)).evaluation.decisions == 50
    # What was withdrawn, or never seen, was decided all the same: it earned nothing.
    await pool.execute("delete from exposures where slot = 0")
    unseen = (await judged(pool, "bold")).evaluation
    assert (unseen.decisions, unseen.value_in_force["ips"].value) == (told.decisions, 0.0)


async def test_a_block_of_the_log_is_read_snapshot_by_snapshot(pool: asyncpg.Pool, model: Model) -> None:
    await policy_world.decide(pool, model, policy_world.in_app, policy.DEFAULT, range(1))
    await pool.execute("update decisions set snapshot_version = 1 + user_id * 7 % 5")
    part = Part(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
    async with pool.acquire() as connection:
        read = [one.logged.snapshot_version async for block in policy_log.blocks(connection, part) for one in block]
    assert len(read) == 160
    assert read == sorted(read)


async def test_what_can_no_longer_be_drawn_again_is_left_out_and_counted(pool: asyncpg.Pool, model: Model) -> None:
    await policy_world.decide(pool, model, policy_world.in_app, policy.DEFAULT, range(2))
    await made(pool, BOLD)
    await pool.execute("update decisions set snapshot_version = 99 where user_id <= 10")
    await pool.execute("update decisions set catalogue_version = 999 where user_id between 11 and 15")
    await pool.execute("update decisions set tastes = '\\x09ff'::bytea where user_id between 16 and 18")
    await pool.execute("update decisions set propensities = array[0.5::float8] where user_id = 19")
    told = (await judged(pool, "bold")).evaluation
    assert told.skipped == {"snapshot_gone": 20, "catalogue_gone": 10, "state_unreadable": 6, "not_reproduced": 2}
    assert told.decisions == 320 - 38


async def test_slates_are_judged_slot_by_slot(pool: asyncpg.Pool, model: Model) -> None:
    def asks(turn: int, user_id: int, over: InForce) -> Any:
        return policy_world.in_app(turn, user_id, over, rules=policy.in_app_rules(3, over))

    logged = await policy_world.decide(pool, model, asks, policy.DEFAULT, range(2))
    redeemed = await policy_world.answer(pool, logged)
    await made(pool, BOLD)
    told = (await judged(pool, "bold")).evaluation
    assert (told.decisions, told.rows) == (320, 960)
    assert told.value_in_force["ips"].value == pytest.approx(redeemed / 320)
    assert told.weights_in_force.max_weight == pytest.approx(1.0, abs=1e-9)


async def test_what_a_person_answered_is_part_of_their_decisions_and_of_the_judgement(
    pool: asyncpg.Pool, model: Model
) -> None:
    before = await policy_world.decide(pool, model, policy_world.in_app, policy.DEFAULT, range(2))
    redeemed = await policy_world.answer(pool, before)
    after = (await policy_world.decide(pool, model, policy_world.in_app, policy.DEFAULT, [2]))[len(before) :]
    assert sum(bool(one.personal) for one in after) > len(after) / 2
    await made(pool, BOLD)
    told = (await judged(pool, "bold")).evaluation
    assert (told.decisions, told.skipped) == (480, {})
    assert told.value_in_force["ips"].value == pytest.approx(redeemed / 480)
    assert told.weights_in_force.max_weight == pytest.approx(1.0, abs=1e-9)


async def test_promotions_are_rolled_back_one_by_one(pool: asyncpg.Pool, model: Model) -> None:
    for settings in (EVEN, BOLD):
        await made(pool, settings)
        await promoted(pool, settings.name, is_forced=True, reason="a trial")

    async def roll_back() -> str:
        async with pool.acquire() as connection, connection.transaction():
            done = await promotion.roll_back(connection, "it did not help", LATER, "test")
        assert (done.kind, done.reason, done.evaluation) == ("rollback", "it did not help", None)
        return await in_force(pool)

    assert await in_force(pool) == "bold@1"
    assert await roll_back() == "even@1"
    assert await roll_back() == "default@0"
    with pytest.raises(ApiError, match="nothing to roll back to"):
        await roll_back()
    async with pool.acquire() as connection:
        told = await promotion.overview(connection)
    assert [(one.kind, one.name) for one in told.promotions] == [
        ("rollback", "default"),
        ("rollback", "even"),
        ("promote", "bold"),
        ("promote", "even"),
    ]
    assert [(one.settings.name, one.is_in_force) for one in told.data] == [
        ("default", True),
        ("bold", False),
        ("even", False),
    ]


async def test_every_process_takes_up_what_is_in_force(pool: asyncpg.Pool, model: Model) -> None:
    cache = PolicyCache(pool, policy.BUILT_IN)
    assert (await cache.refresh()).label == "default@0"
    await made(pool, BOLD)
    await promoted(pool, "bold", is_forced=True, reason="a trial")
    assert cache.current.label == "default@0"
    found = await cache.refresh()
    assert (found.label, found.settings) == ("bold@1", BOLD)
    assert policy.push_rules(0.0, 1.0, 0.1, found).exploration == 0.3
    assert policy.in_app_rules(2, found) != policy.in_app_rules(2)
    async with pool.acquire() as connection:
        await promotion.roll_back(connection, "", LATER, "test")
    assert (await cache.refresh()).label == "default@0"


async def test_of_two_promotions_judged_against_the_same_policy_one_wins(pool: asyncpg.Pool, model: Model) -> None:
    await made(pool, EVEN)
    await made(pool, BOLD)
    both = [await judged(pool, name) for name in ("even", "bold")]
    forced = PromotionRequest(is_forced=True, reason="a trial")
    async with pool.acquire() as connection:
        await promotion.promote(connection, both[0], forced, LATER, "test")
        with pytest.raises(ApiError, match="evaluate again"):
            await promotion.promote(connection, both[1], forced, LATER, "test")
        with pytest.raises(ApiError, match="in force already"):
            await promotion.promote(connection, await judged(pool, "even"), forced, LATER, "test")


async def test_a_policy_has_versions_and_the_built_in_one_keeps_its_name(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        first = await promotion.create(connection, BOLD, NOW, "test")
        assert (first.version, await promotion.create(connection, BOLD, LATER, "test")) == (1, first)
        second = await promotion.create(connection, PolicySettings(name="bold", exploration=0.4), LATER, "test")
        assert second.version == 2
        assert (await promotion.find(connection, "bold")).settings.exploration == 0.4
        with pytest.raises(ApiError, match="built-in"):
            await promotion.create(connection, PolicySettings(name="default"), NOW, "test")
        greedy = PolicySettings(name="greedy", kind="epsilon_greedy", exploration=2.0)
        with pytest.raises(ApiError, match="share"):
            await promotion.create(connection, greedy, NOW, "test")
        with pytest.raises(ApiError, match="no such policy"):
            await promotion.find(connection, "nobody")
