"""Shadow prices in real decisions: kept in PostgreSQL, logged with each decision, drawn again to the same bits, gone with time."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from bandits.policies import pacing
from bandits.policies.model import Model, from_snapshot
from schema.decision import Channel
from service.decision import explanation, replay
from service.decision.ask import Decided
from service.store import decisions
from service.store.catalogue import CatalogueCache
from service.store.logged_decision import LoggedDecision
from service.store.pool import open_pool
from tests.integration import decision_world, push_world
from tests.integration.push_world import HOUR, NOW
from tests.integration.reservation_world import asks, decide, stands, told

PEOPLE = range(1, 121)
DAY = timedelta(days=1)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        await push_world.people(pool, len(PEOPLE))
        yield pool


@pytest.fixture
async def model(pool: asyncpg.Pool) -> Model:
    return from_snapshot(await decision_world.publish(pool, NOW - HOUR))


async def logged(pool: asyncpg.Pool, decided: list[Decided]) -> list[LoggedDecision]:
    async with pool.acquire() as connection:
        found = [await decisions.read(connection, one.person.user_id, one.decision_id) for one in decided]
    return [one for one in found if one is not None]


async def shelf(pool: asyncpg.Pool, **few: Any) -> int:
    """An offer with an end, and four others."""
    for n in range(4):
        await push_world.offer(pool, f"plenty-{n}")
    return await push_world.offer(pool, "few", **few)


async def test_a_rush_raises_the_price_which_is_logged_and_drawn_again(pool: asyncpg.Pool, model: Model) -> None:
    few = await shelf(pool, redemptions_max=60, ends_at=NOW + 30 * DAY)
    decided = await decide(pool, model, asks(Channel.PUSH, PEOPLE, "rush"), PEOPLE)
    kept = await logged(pool, decided)
    prices = [dict(one.request.prices).get(few, 0.0) for one in kept]
    assert prices[0] == 0.0
    assert prices == sorted(prices)  # within one batch it only rises
    assert prices[-1] > 0.0
    first, last = decided[0].draw, decided[-1].draw
    assert first is not None
    assert last is not None
    place = decided[0].catalogue.index_by_id[few]
    assert last.pmf[place] < 0.5 * first.pmf[place]
    async with pool.acquire() as connection:
        again = [await replay.redraw(connection, CatalogueCache(), one) for one in kept]
    assert all(replay.compare(one, anew).identical for one, anew in zip(kept, again, strict=True))
    numbers = explanation.explain(kept[-1], again[-1], with_numbers=True).numbers
    assert numbers is not None
    told_of = {one["offer_id"]: one["shadow_price"] for one in numbers["candidates"]}
    assert told_of["few"] == prices[-1]
    assert told_of["plenty-0"] == 0.0


async def test_less_is_taken_in_a_rush_than_without_a_time_to_last(pool: asyncpg.Pool, model: Model) -> None:
    await shelf(pool, redemptions_max=60)
    hasty = told(await decide(pool, model, asks(Channel.PUSH, PEOPLE, "rush"), PEOPLE))["few"]
    await pool.execute("delete from reservations")
    await pool.execute("delete from decisions")
    await pool.execute("update allowances set reserved = 0")
    few = await push_world.offer(pool, "few", redemptions_max=60, ends_at=NOW + 30 * DAY)
    paced = told(await decide(pool, model, asks(Channel.PUSH, PEOPLE, "rush"), PEOPLE))["few"]
    assert 0 < paced < hasty
    assert (await stands(pool, few)).pace.ahead > pacing.NEGLIGIBLE


async def test_the_price_goes_with_time_and_where_there_is_enough_there_is_none(
    pool: asyncpg.Pool, model: Model
) -> None:
    few = await shelf(pool, redemptions_max=60, ends_at=NOW + 30 * DAY)
    await push_world.offer(pool, "ample", redemptions_max=100_000, ends_at=NOW + 30 * DAY)
    await decide(pool, model, asks(Channel.PUSH, PEOPLE, "rush"), PEOPLE)
    (soon,) = await logged(pool, await decide(pool, model, asks(Channel.IN_APP, [1], "soon"), [1], NOW + HOUR))
    assert [offer_id for offer_id, _ in soon.request.prices] == [few]
    (late,) = await logged(pool, await decide(pool, model, asks(Channel.IN_APP, [1], "late"), [1], NOW + 15 * DAY))
    assert late.request.prices == []


async def test_a_campaign_s_budget_has_a_price_by_what_each_offer_costs(pool: asyncpg.Pool, model: Model) -> None:
    for name, cost in (("cheap", 10), ("dear", 90)):
        await push_world.offer(pool, name, discount_type="amount", discount_minor=cost)
    async with pool.acquire() as connection:
        stored = await push_world.campaign(connection, budget_minor=4_000)
    asked = asks(Channel.PUSH, PEOPLE, "rush", campaign_id=stored.id, is_budgeted=True)
    kept = await logged(pool, await decide(pool, model, asked, PEOPLE))
    assert kept[0].request.cost_price == 0.0
    assert kept[-1].request.cost_price > 0.0
    assert kept[-1].request.prices == []
    async with pool.acquire() as connection:
        for one in kept[-3:]:
            anew = await replay.redraw(connection, CatalogueCache(), one)
            assert replay.compare(one, anew).identical
            assert anew.draw is not None
    known = kept[-1].request
    shown = explanation.explain(kept[-1], anew, with_numbers=True).numbers
    assert shown is not None
    by_name = {one["offer_id"]: one["shadow_price"] for one in shown["candidates"]}
    assert by_name["dear"] == pytest.approx(9 * by_name["cheap"])
    assert by_name["cheap"] == pytest.approx(10 * known.cost_price * max(known.rules.values))
