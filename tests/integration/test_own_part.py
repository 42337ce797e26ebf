"""A person's own part from end to end: what is said of one deal counts in the next decision, for what is like it, and only by leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from bandits import personal, taste_map
from service.clock import SystemClock
from service.learning import visible
from service.learning.learner import Learner
from service.store import taste_maps
from service.store.catalogue import CatalogueCache
from service.store.taste_maps import Learned
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import Api, serving
from tests.integration.test_decision_routes import about, ask, known, names

SHELF = [
    offer("espresso", ["coffee"]),
    offer("latte", ["coffee"]),
    offer("salad", ["greens"]),
    offer("remedy", ["coffee", "remedy"], is_sensitive=True),
]


@pytest_asyncio.fixture
async def api(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A shop whose map of tastes has coffee on one side and greens on the other; feedback waits for the learner, however long."""
    monkeypatch.setattr(visible, "PAUSES_S", (0.01,) * 1000)
    async with serving(database) as running:
        running.headers.update(await running.key("sk", "users", "ingest", "offers", "reports"))
        now = datetime.now(UTC)
        async with running.resources.pool.acquire() as connection:
            await decision_world.stock(connection, SHELF, now)
            ids = dict(await connection.fetch("select tag, tag_id from tags"))
            mapped = taste_map.empty(1, max(ids.values()) + 1)
            mapped.axes[ids["coffee"], 0], mapped.axes[ids["greens"], 0] = 1.5, -1.5
            await taste_maps.add(connection, Learned(1, now, 100, [0.03, 1.0]), mapped)
        await decision_world.publish(running.resources.pool, now)
        await running.resources.snapshot.refresh()
        yield running


@asynccontextmanager
async def learning(api: Api) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(Learner(api.resources.pool, CatalogueCache()).run(SystemClock(), stop))
    yield
    stop.set()
    await running


async def own_parts(api: Api, person: str, answer: Any) -> dict[str, float]:
    """What the person's own part adds to the log-odds of each offer, as the explanation tells it; the decision is drawn again, too."""
    assert (await about(api, "replay", person, answer))["identical"] is True
    numbers = (await about(api, "explanation", person, answer))["numbers"]
    return {one["offer_id"]: one["own_part"] for one in numbers["candidates"]}


async def say(api: Api, person: str, answer: Any, kind: str, name: str) -> None:
    body = {"type": kind, "user_id": person, "slot": names(answer).index(name)}
    told = await api.post(f"/v1/decisions/{answer['decision_id']}/feedback", json=body)
    assert told.status_code == 200, told.text


async def test_a_word_counts_in_the_next_decision_for_all_that_is_like_it(api: Api) -> None:
    person = await known(api)
    async with learning(api):
        first = await ask(api, person, slots=4)
        assert set((await own_parts(api, person, first)).values()) == {0.0}
        await say(api, person, first, "thumbs_down", "espresso")
        second = await ask(api, person, slots=4)
        disliked = await own_parts(api, person, second)
        assert "espresso" not in names(second)
        assert disliked["latte"] < -0.1 < 0.1 < disliked["salad"]
        assert disliked["remedy"] == 0.0
        for kind in ("shown", "redeemed"):
            await say(api, person, second, kind, "latte")
        redeemed = await own_parts(api, person, await ask(api, person))
        assert redeemed["latte"] > disliked["latte"]
    assert (
        "how you answered the deals we showed you before"
        in (await about(api, "explanation", person, second))["data_used"]
    )


async def test_without_consent_there_is_no_own_part(api: Api) -> None:
    person = await known(api)
    async with learning(api):
        first = await ask(api, person, slots=4)
        await say(api, person, first, "thumbs_down", "espresso")
        await api.resources.pool.execute("update users set has_personalization_consent = false")
        second = await ask(api, person, slots=3)
        assert set((await own_parts(api, person, second)).values()) == {0.0}
        await say(api, person, second, "dismissed", "latte")
    row = await api.resources.pool.fetchrow(
        "select personal, z, personal_offsets from decisions order by decision_id desc"
    )
    assert tuple(row) == (b"", b"", [])


async def test_sums_that_cannot_be_read_are_those_of_somebody_new(api: Api) -> None:
    person = await known(api)
    async with learning(api):
        await say(api, person, await ask(api, person, slots=4), "dismissed", "latte")
    await api.resources.pool.execute("update user_state set personal = '\\x0bad'")
    answer = await ask(api, person)
    assert set((await own_parts(api, person, answer)).values()) == {0.0}
    row = await api.resources.pool.fetchrow("select personal, z from decisions order by decision_id desc")
    assert row["personal"] == b""
    assert len(row["z"]) == 4 * personal.DIMS


@pytest.mark.parametrize("slots", [1, 4])
async def test_the_slate_is_logged_slot_by_slot(api: Api, slots: int) -> None:
    person = await known(api)
    answer = await ask(api, person, slots=slots)
    row = await api.resources.pool.fetchrow("select z, personal_offsets from decisions")
    assert len(row["z"]) == 4 * personal.DIMS * slots
    assert row["personal_offsets"] == [0.0] * slots
    assert len(names(answer)) == slots
