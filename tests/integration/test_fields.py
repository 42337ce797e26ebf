"""What a client may name, over HTTP: every value that cannot be kept is told by its place, and nothing stays behind that breaks later."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from litestar import get
from structlog.testing import capture_logs

from service.errors import ApiError
from service.resources import Resources
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import Api, serving

FAMILY = "👩‍👩‍👧"
NOBODY = "00000000-0000-0000-0000-000000000007"


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as running:
        running.headers.update(await running.key("sk", "users", "ingest", "offers", "reports"))
        async with running.resources.pool.acquire() as connection:
            await decision_world.stock(connection, [offer("milk", ["milk"])], datetime.now(UTC))
        await decision_world.publish(running.resources.pool, datetime.now(UTC))
        await running.resources.snapshot.refresh()
        yield running


def pointers(answer: httpx.Response, status: int = 400) -> list[str]:
    assert answer.status_code == status, answer.text
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_a_mute_ends_within_ten_years(api: Api) -> None:
    path = "/v1/users/ann/preferences"
    now = datetime.now(UTC)
    for far in (
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        (now + timedelta(days=3660)).isoformat(),
    ):
        assert pointers(await api.patch(path, json={"muted_until": far})) == ["/muted_until"]
    assert (await api.get(path)).status_code == 404
    near = now + timedelta(days=3650)
    told = await api.patch(path, json={"muted_until": near.isoformat()})
    assert datetime.fromisoformat(told.json()["muted_until"]) == near
    assert (await api.post("/v1/decisions", json={"user_id": "ann"})).json()["reason_codes"] == ["muted"]
    for past in ("0001-01-01T00:00:00+14:00", (now - timedelta(days=1)).isoformat()):
        assert (await api.patch(path, json={"muted_until": past})).json()["muted_until"] is None
    assert (await api.post("/v1/decisions", json={"user_id": "ann"})).status_code == 200


async def test_a_birth_date_is_one_of_somebody_alive(api: Api) -> None:
    today = datetime.now(UTC).date()
    for day in (date(1, 1, 1), date(today.year - 131, 12, 31), today + timedelta(days=2), date(9999, 12, 31)):
        answer = await api.post("/v1/identify", json={"user_id": "ann", "birth_date": day.isoformat()})
        assert pointers(answer) == ["/birth_date"], day
    for day in (date(today.year - 130, 1, 1), today):
        answer = await api.post("/v1/identify", json={"user_id": "ann", "birth_date": day.isoformat()})
        assert answer.status_code == 200, day


async def test_a_virtual_clock_shows_a_year_that_can_be_reckoned_with(database: str) -> None:
    async with serving(database, is_virtual_clock=True) as api:
        api.headers.update(await api.key("sk", "admin"))
        for now in ("9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00", "1999-12-31T23:59:59Z"):
            assert pointers(await api.post("/v1/clock", json={"now": now, "wait_s": 0})) == ["/now"]
        assert (await api.post("/v1/clock", json={"now": "2026-01-01T00:00:00Z", "wait_s": 0})).status_code == 200


async def everywhere(api: Api, user_id: str) -> list[int]:
    """The statuses of every way to name a user."""
    now, place = datetime.now(UTC).isoformat(), quote(user_id, safe="")
    event = {"event_id": "e", "user_id": user_id, "type": "view", "occurred_at": now}
    device = {"user_id": user_id, "token": "t", "platform": "web"}
    decided = await api.post("/v1/decisions", json={"user_id": user_id})
    decision = decided.json().get("decision_id", NOBODY)
    taken = await api.post("/v1/events", json={"sent_at": now, "batch": [event]})
    answers = [
        decided,
        await api.get(f"/v1/decisions/{decision}/explanation", params={"user_id": user_id}),
        await api.post("/v1/identify", json={"user_id": user_id}),
        await api.put(f"/v1/devices/{place}", json=device),
        await api.delete(f"/v1/devices/{place}", params={"user_id": user_id}),
        await api.patch(f"/v1/users/{place}/preferences", json={}),
        await api.get(f"/v1/users/{place}/consent"),
    ]
    return [200 if taken.json()["accepted"] else 400] + [answer.status_code for answer in answers]


@pytest.mark.parametrize("user_id", ["ann", FAMILY, "a b?#%", "…", "auth0|1"])
async def test_who_can_be_named_once_can_be_named_everywhere(api: Api, user_id: str) -> None:
    assert await everywhere(api, user_id) == [200, 200, 200, 200, 200, 204, 200, 200]


@pytest.mark.parametrize("user_id", ["a/b", "\x07\n", "\x7f", "x" * 129])
async def test_who_cannot_be_named_somewhere_cannot_be_named_anywhere(api: Api, user_id: str) -> None:
    found = await everywhere(api, user_id)
    assert set(found) <= {400, 404}, found  # a path with %2F is one of another route
    assert await api.resources.pool.fetchval("select count(*) from users") == 0


async def test_nobody_named_is_told_by_the_place_of_the_name(api: Api) -> None:
    feedback = {"type": "opened"}
    assert pointers(await api.post("/v1/decisions", json={})) == ["/user_id"]
    assert pointers(await api.post("/v1/identify", json={})) == ["/user_id"]
    assert pointers(await api.post(f"/v1/decisions/{NOBODY}/feedback", json=feedback)) == ["/user_id"]
    assert pointers(await api.get(f"/v1/decisions/{NOBODY}/explanation")) == ["query:user_id"]
    assert pointers(await api.post(f"/v1/decisions/{NOBODY}/replay")) == ["query:user_id"]
    assert pointers(await api.delete("/v1/devices/phone")) == ["query:user_id"]
    too_long = await api.post("/v1/events", content=b" " * 600_000, headers={"Content-Type": "application/json"})
    assert pointers(too_long, 413) == [""]


async def test_a_clients_mistake_is_not_logged_as_ours(api: Api) -> None:
    as_json = {"Content-Type": "application/json"}
    with capture_logs() as logs:
        assert pointers(await api.patch("/v1/offers/milk", json={"price_minor": "a"})) == ["/price_minor"]
        assert pointers(await api.patch("/v1/offers/milk", json={"colour": 1})) == ["/colour"]
        cut = await api.post("/v1/events", content=rb'{"sent_at":"\ud83d","batch":[]}', headers=as_json)
        assert pointers(cut) == ["/sent_at"]
        named = await api.post(
            "/v1/events", content=rb'{"sent_at":"2026-01-01T00:00:00Z","\ud83d":[]}', headers=as_json
        )
        assert pointers(named) == [""]
    assert logs == []


@get("/probe/told", opt={"scope": "public"})
async def told() -> None:
    raise ApiError(500, "internal", "Something went wrong.")


async def test_every_500_is_logged_and_what_only_the_database_noticed(database: str) -> None:
    @get("/probe/far", opt={"scope": "public"})
    async def far() -> None:
        pool: Any = resources.pool
        await pool.fetchval("select $1::timestamptz", datetime.fromisoformat("0001-01-01T00:00:00+14:00"))

    async with serving(database, told, far) as api:
        resources: Resources = api.resources
        with capture_logs() as logs:
            assert (await api.get("/probe/told")).status_code == 500
            assert (await api.get("/probe/far")).json()["code"] == "invalid_field"
    assert [(line["log_level"], line["route"], line["status"]) for line in logs] == [
        ("error", "/probe/told", 500),
        ("warning", "/probe/far", 400),
    ]
