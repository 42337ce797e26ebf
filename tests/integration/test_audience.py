"""Audience rules against PostgreSQL: whom each leaves, whom it leaves out for which reason, and that a block reads no more than itself."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from bandits.rhythm import RECORD, Rhythm
from push.planning import audience
from schema.audience import Audience
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.push_world import NOW

DAY = timedelta(days=1)
_REASONS = "select user_id, left_out_by from audience_of($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"

TOLD = [
    "update users set tags = '{staff,vip}', traits = '{\"store_id\": \"7\"}', locale = 'de-AT' where user_id = 1",
    "update users set tags = '{vip}', traits = '{\"store_id\": \"8\"}', locale = 'de' where user_id = 2",
    "update users set tags = '{newsletter}', time_zone = null, locale = null where user_id = 3",
    "update devices set time_zone = 'Asia/Kolkata', locale = 'en_IN', platform = 'ios' where user_id = 3",
    "update users set locale = 'den' where user_id = 4",
    "update devices set last_seen_at = last_seen_at - interval '40 days' where user_id in (4, 5)",
    "update users set created_at = created_at - interval '90 days' where user_id <> 2",
    # The phone seen last is the one a push goes to: the other is a tablet in a drawer.
    """insert into devices (user_id, device_id, address, address_kind, platform, address_updated_at, last_seen_at)
       values (1, 'drawer', 'drawer', 'token', 'ios', '2026-01-01', '2026-01-01')""",
]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    """Five people: 1 staff in store 7, 2 new in store 8, 3 in Kolkata on an iPhone, 4 away, 5 away but for a visit 5 days ago."""
    async with await open_pool(database, 2) as pool:
        await push_world.people(pool, 5)
        for statement in TOLD:
            await pool.execute(statement)
        rhythm = Rhythm()
        rhythm.visited(3, (NOW - 5 * DAY).timestamp())
        await pool.execute("insert into user_state values (5, '', $1, $2)", rhythm.pack(), NOW)
        yield pool


RULES: list[tuple[dict[str, Any], list[int], str]] = [
    ({}, [1, 2, 3, 4, 5], ""),
    ({"tags_any": ["staff", "newsletter"]}, [1, 3], "tags"),
    ({"tags_all": ["staff", "vip"]}, [1], "tags"),
    ({"tags_none": ["staff", "newsletter"]}, [2, 4, 5], "tags"),
    ({"tags_any": ["vip"], "tags_none": ["staff"]}, [2], "tags"),
    ({"store_ids": ["7", "9"]}, [1], "places"),
    ({"exclude_store_ids": ["7"]}, [2, 3, 4, 5], "places"),
    ({"time_zones": ["Asia/Kolkata"]}, [3], "places"),
    ({"active_within_days": 30}, [1, 2, 3, 5], "activity"),
    ({"inactive_for_days": 30}, [4], "activity"),
    ({"active_within_days": 60, "inactive_for_days": 3}, [4, 5], "activity"),
    ({"new_within_days": 7}, [2], "activity"),
    ({"platforms": ["ios", "web"]}, [3], "platform"),
    ({"platforms": ["android"]}, [1, 2, 4, 5], "platform"),
    ({"languages": ["de"]}, [1, 2], "language"),
    ({"languages": ["DE-at", "en"]}, [1, 3], "language"),
]


@pytest.mark.parametrize(("rules", "left", "reason"), RULES)
async def test_each_rule_leaves_whom_it_names(
    pool: asyncpg.Pool, rules: dict[str, Any], left: list[int], reason: str
) -> None:
    given = Audience(**rules)
    assert await push_world.audience_ids(pool, given) == left
    reasons = dict(await pool.fetch(_REASONS, *audience.asked(given, NOW)))
    assert reasons == {n: None if n in left else reason for n in range(1, 6)}


async def test_who_may_not_be_pushed_is_left_out_before_any_rule(pool: asyncpg.Pool) -> None:
    await pool.execute("update users set has_push_consent = false where user_id in (1, 2)")
    await pool.execute("update users set opted_out_at = created_at where user_id = 2")
    await pool.execute("update users set merged_into = 1 where user_id = 3")
    await pool.execute("update devices set last_seen_at = $1 where user_id = 4", NOW - audience.STALE_AFTER - DAY)
    await pool.execute("update devices set is_push_enabled = false where user_id = 5")
    reasons = dict(await pool.fetch(_REASONS, *audience.asked(Audience(tags_any=["nobody"]), NOW)))
    assert reasons == {1: "no_push_consent", 2: "opted_out", 4: "no_address", 5: "no_address"}


async def test_an_audience_is_read_in_order_from_where_planning_goes_on(connection: asyncpg.Connection) -> None:
    """The function is inlined: the order and the place to go on from reach the index, and nothing is sorted first."""
    await push_world.people(connection, 20_000)
    await connection.execute("analyze")
    every = Audience(tags_none=["staff"], store_ids=["7"], active_within_days=30, platforms=["ios"], languages=["de"])
    async with connection.transaction():
        await connection.execute(audience.IN_ORDER)
        for rules in (Audience(), every):
            given = (*audience.asked(rules, NOW), 15_000, audience.ZONE_BYTES, RECORD.itemsize)
            plan = "\n".join(row[0] for row in await connection.fetch("explain " + audience.AUDIENCE, *given))
            assert "Index Scan using users_pkey" in plan, plan
            for waste in ("Function Scan on audience_of", "Seq Scan on users", "Sort Key: u.user_id"):
                assert waste not in plan, plan
