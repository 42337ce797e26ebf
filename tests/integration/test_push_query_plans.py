"""The queries that run all the time touch what is open, never the whole history of the outbox."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import pytest

from push import agenda, drawn_rows, due_rows, outbox, outbox_days, triggered
from push.campaign import campaigns
from push.channels import delivery_claim
from push.contact import contacts
from push.planning import audience
from push.sending import claim, endings
from schema.audience import Audience
from service.store import due_people
from service.store.pool import prepare
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, STARTS_AT

_HISTORY = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at,
                        moment_propensity)
    select n, $1, $2, 1, gen_random_uuid(), 0, case when n <= 40 then n % 3 else 3 + n % 6 end, $3, $3, $3, 1
      from generate_series(1, $4::int) n
"""
_RESTS = """
    insert into triggerings (user_id, campaign_id, triggered_at, rests_until)
    select n, $1, $2, $2::timestamptz + interval '1 day' from generate_series(1, 30000) n
"""
QUERIES: list[tuple[str, tuple[Any, ...]]] = [
    (agenda._LOOK, (NOW,)),
    (due_rows._DUE, (NOW, 500, [None], [NOW])),
    (outbox._IS_BACKLOG, (NOW, 500)),
    (endings._REPEAT, (NOW, NOW, 10)),
    (endings._SWEEP, (NOW, NOW)),
    (endings._EXPIRE_PLANNED, (NOW, 500)),
    (endings._EXPIRE_READY, (NOW, 500)),
    (claim._TAKE, (NOW, 500)),
    (delivery_claim._TAKE, (NOW, 2, 500)),
    (delivery_claim._TAKE, (NOW, 3, 500)),
    (claim._MARK, (NOW, NOW, [(0, 1)], [NOW], [2], [None], [None], [None], NOW, NOW)),
    (contacts._HOLD, ([1, 2],)),
    (contacts._PEOPLE, ([1, 2],)),
    (contacts._PUT, ([1, 2], ["[]", "[]"])),
    (contacts._GIVE_BACK, ([1, 2], [None, None])),
    (outbox._SETTLE, (NOW, [1], [None], [NOW], [1], [3], [""], [None], [False], 1, NOW, NOW)),
    (drawn_rows._DRAWN, (NOW, NOW, NOW + HOUR, [(0, 1)], [3], [""], [None], [1], [None], [None])),
    (due_people._READ, ([1, 2], True)),
    (due_rows._GONE, ([1, 2],)),
    (audience._AMONG, (*audience.asked(Audience(), NOW), [1, 2])),
    (triggered._PLAN, ([1], ["campaign"], [NOW], [NOW], [None], [0], [NOW], [NOW], 1)),
    (triggered._PURGE, (NOW, 500)),
    (campaigns._WITHDRAW_PLANNED, ("campaign", NOW)),
    (campaigns._WITHDRAW_READY, ("campaign", NOW)),
]


_HELD_BACK = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at,
                        moment_propensity)
    select n, $1, $2, 1, gen_random_uuid(), 0, $4, $3, $6, $6, 1
      from generate_series(1, $5::int) n
"""
ALWAYS_RUN = [
    (agenda._LOOK, (NOW,)),
    (due_rows._DUE, (NOW, 500, [None], [NOW])),
    (outbox._IS_BACKLOG, (NOW, 500)),
    (claim._TAKE, (NOW, 500)),
]


async def planned_for(connection: asyncpg.Connection, query: str, given: list[Any]) -> str:
    return "\n".join(row[0] for row in await connection.fetch("explain " + query, *given))


async def planned_once(connection: asyncpg.Connection, query: str, given: list[Any]) -> str:
    """The plan that is kept for any arguments: EXPLAIN of a query with arguments would plan for these."""
    statement = await connection.prepare(query)
    # Instants choose the day, whatever the plan is.
    arguments = ", ".join(f"'{one.isoformat()}'" if isinstance(one, datetime) else "null" for one in given)
    execute = f'explain execute "{statement.get_name()}"' + (f"({arguments})" if given else "")
    return "\n".join(row[0] for row in await connection.fetch(execute))


async def test_settling_a_young_day_compares_it_with_nothing(connection: asyncpg.Connection) -> None:
    await prepare(connection)
    await push_world.people(connection, 600)
    stored = await push_world.campaign(connection)
    await outbox_days.ensure(connection, [STARTS_AT])
    for rows in (200, 600):
        await connection.execute("truncate outbox")
        await connection.execute(_HISTORY, stored.id, STARTS_AT.replace(tzinfo=NOW.tzinfo), NOW, rows)
        await connection.execute("set plan_cache_mode to force_generic_plan")
        starts_at = STARTS_AT.replace(tzinfo=NOW.tzinfo)
        given = [NOW, [1], [stored.id], [starts_at], [1], [3], [""], [None], [False], 1, starts_at, starts_at]
        plan = await planned_once(connection, outbox._SETTLE, given)
        assert "occurrence_at = t.occurrence_at) AND (channel" in plan
        assert "Cond: (t.occurrence_at = o" not in plan, plan
        assert "Cond: (o.occurrence_at = t" not in plan, plan


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_query_reads_the_history(connection: asyncpg.Connection, mode: str) -> None:
    await prepare(connection)
    await push_world.people(connection, 30_000)
    stored = await push_world.campaign(connection)
    await outbox_days.ensure(connection, [STARTS_AT])
    await connection.execute(_HISTORY, stored.id, STARTS_AT.replace(tzinfo=NOW.tzinfo), NOW, 30_000)
    await connection.execute("insert into contacts (user_id) select n from generate_series(1, 30000) n")
    await connection.execute(_RESTS, stored.id, NOW)
    await connection.execute("analyze")
    await connection.execute(f"set plan_cache_mode to {mode}")
    for query, arguments in QUERIES:
        given = [stored.id if one == "campaign" else [stored.id] if one == ["campaign"] else one for one in arguments]
        plan = await (planned_once if mode == "force_generic_plan" else planned_for)(connection, query, given)
        for table in ("outbox", "users", "devices", "contacts", "triggerings"):
            assert f"Seq Scan on {table}" not in plan, f"{query}\n{plan}"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


async def cost(connection: asyncpg.Connection, query: str, arguments: tuple[Any, ...]) -> tuple[int, float]:
    """Pages a query touched, and the most rows that one of its nodes read."""
    undone = connection.transaction()
    await undone.start()
    text = await connection.fetchval(f"explain (analyze, buffers, timing off, format json) {query}", *arguments)
    await undone.rollback()
    plan = msgspec.json.decode(text)[0]["Plan"]
    rows = max(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in nodes(plan)
    )
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], rows


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("are_statistics_fresh", [True, False], ids=["analysed", "never analysed"])
async def test_what_paused_campaigns_hold_back_is_not_walked(
    connection: asyncpg.Connection, mode: str, are_statistics_fresh: bool
) -> None:
    await prepare(connection)
    await push_world.people(connection, 30_000)
    occurrence = STARTS_AT.replace(tzinfo=NOW.tzinfo)
    await outbox_days.ensure(connection, [occurrence])
    await connection.execute("alter table outbox_20260302 set (autovacuum_enabled = off)")
    for number in range(4):
        held = await push_world.campaign(connection, f"held-{number}")
        await connection.execute(_HELD_BACK, held.id, occurrence, NOW, number % 2, 25_000, NOW + 6 * HOUR)
    await connection.execute("update campaigns set status = 'paused'")
    if are_statistics_fresh:
        await connection.execute("analyze")
    await connection.execute(f"set plan_cache_mode to {mode}")
    assert await agenda.look(connection, NOW) == (False, False, False, False, False)
    for query, arguments in ALWAYS_RUN:
        pages, rows = await cost(connection, query, arguments)
        assert pages < 100, query
        assert rows < 20, query
    for state in (0, 1):
        other = await push_world.campaign(connection, f"going-{state}")
        await connection.execute(_HELD_BACK, other.id, occurrence, NOW, state, 3, NOW + 6 * HOUR)
    due = await agenda.look(connection, NOW)
    assert (due.has_to_draw, due.has_to_send) == (True, True)
    for query, arguments in ALWAYS_RUN:
        pages, rows = await cost(connection, query, arguments)
        assert pages < 250, query
        assert rows < 20, query


@pytest.mark.parametrize("are_statistics_fresh", [True, False], ids=["analysed", "never analysed"])
async def test_a_batch_of_a_large_backlog_reads_little_more_than_itself(
    connection: asyncpg.Connection, are_statistics_fresh: bool
) -> None:
    await prepare(connection)
    await push_world.people(connection, 50_000)
    occurrence = STARTS_AT.replace(tzinfo=NOW.tzinfo)
    await outbox_days.ensure(connection, [occurrence])
    for state in (0, 1):
        stored = await push_world.campaign(connection, f"due-{state}")
        await connection.execute(_HELD_BACK, stored.id, occurrence, NOW, state, 50_000, NOW + 6 * HOUR)
    if are_statistics_fresh:
        await connection.execute("analyze")
    for query, arguments in ALWAYS_RUN:
        _, rows = await cost(connection, query, arguments)
        assert rows < 1000, query


async def test_each_campaign_has_its_share_of_a_batch(connection: asyncpg.Connection) -> None:
    await prepare(connection)
    await push_world.people(connection, 1000)
    for name, people in (("large", 1000), ("small", 10), ("other", 200)):
        stored = await push_world.campaign(connection, name)
        await push_world.planned(connection, stored, range(1, people + 1))
    async with connection.transaction():
        rows = await due_rows.due(connection, NOW, 300)
    assert sorted(Counter(rows.campaign.tolist()).values()) == [10, 100, 100]
    assert not rows.is_all


@pytest.mark.parametrize(("people", "is_all"), [(99, True), (100, False)])
async def test_all_has_been_taken_when_no_campaign_fills_its_share(
    connection: asyncpg.Connection, people: int, is_all: bool
) -> None:
    await prepare(connection)
    await push_world.people(connection, 200)
    for name, due in (("one", people), ("other", 1), ("third", 50)):
        await push_world.planned(connection, await push_world.campaign(connection, name), range(1, due + 1))
    async with connection.transaction():
        assert (await due_rows.due(connection, NOW, 300)).is_all is is_all
    async with connection.transaction():
        none = await due_rows.due(connection, NOW - HOUR, 300)
    assert (len(none.user_ids), none.is_all) == (0, True)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_a_batch_is_settled_by_its_keys_however_many_others_are_being_sent(
    connection: asyncpg.Connection, mode: str
) -> None:
    await prepare(connection)
    stored = await push_world.campaign(connection)
    occurrence = STARTS_AT.replace(tzinfo=NOW.tzinfo)
    await outbox_days.ensure(connection, [occurrence])
    await connection.execute(_HISTORY, stored.id, occurrence, NOW, 30_000)
    await connection.execute("update outbox set state = 3 where state = 2")
    await connection.execute("analyze")  # as the planner knows it: nobody is being sent
    await connection.execute(
        "update outbox set state = 2, lease_until = $1, fence = user_id where user_id between 1001 and 3000", NOW
    )
    await connection.execute(f"set plan_cache_mode to {mode}")
    people = list(range(1001, 1501))
    columns = [
        people,
        [stored.id] * 500,
        [occurrence] * 500,
        people,
        [3] * 500,
        ["m"] * 500,
        [None] * 500,
        [False] * 500,
    ]
    plan = "\n".join(
        row[0] for row in await connection.fetch("explain " + outbox._SETTLE, NOW, *columns, 1, occurrence, occurrence)
    )
    assert "outbox_20260302_pkey" in plan
    assert "lease_until_idx" not in plan
    settled = await connection.fetch(outbox._SETTLE, NOW, *columns, 1, occurrence, occurrence)
    assert sorted(row[0] for row in settled) == people
    assert await connection.fetch(outbox._SETTLE, NOW, *columns, 1, occurrence, occurrence) == []


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_days_of_which_everything_is_settled_are_not_walked(connection: asyncpg.Connection, mode: str) -> None:
    await prepare(connection)
    stored = await push_world.campaign(connection)
    occurrence = STARTS_AT.replace(tzinfo=NOW.tzinfo)
    for day in range(20):
        at = occurrence - day * 24 * HOUR
        await outbox_days.ensure(connection, [at])
        await connection.execute(_HISTORY, stored.id, at, NOW, 300)
        await connection.execute("update outbox set state = 6 where state < 3 and occurrence_at < $1", occurrence)
    await connection.execute("update campaigns set status = 'paused'")
    for _ in range(2):
        await outbox_days.close(connection, NOW)
    await connection.execute("analyze")
    await connection.execute(f"set plan_cache_mode to {mode}")
    for query, arguments in QUERIES:
        given = [stored.id if one == "campaign" else [stored.id] if one == ["campaign"] else one for one in arguments]
        plan = "\n".join(row[0] for row in await connection.fetch("explain " + query, *given))
        assert "outbox_202602" not in plan
    for query, arguments in ALWAYS_RUN:
        pages, _ = await cost(connection, query, arguments)
        assert pages < 100, query
