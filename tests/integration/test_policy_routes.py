"""Policies and snapshots over HTTP: made, promoted by force, rolled back, pinned, and what decisions are made by meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schema.decision import DecisionInputs
from service.learning.composer import Composer
from tests.deciding import NOW
from tests.integration import policy_world
from tests.integration.serving import Api, serving

FORCED = {"is_forced": True, "reason": "a trial"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as api:
        api.headers.update(await api.key("sk", "admin"))
        await policy_world.open_shop(api.resources.pool, 40)
        await api.resources.snapshot.refresh()
        yield api


async def decided(api: Api, person: str = "person1") -> dict[str, Any]:
    answer = await api.post("/v1/decisions", json={"user_id": person})
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


async def until(api: Api, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first decision that is so; what comes into force must do so on every worker within two seconds."""
    for _ in range(40):
        told = await decided(api, "person2")
        if is_so(told):
            return told
        await asyncio.sleep(0.05)
    raise AssertionError(told)


async def test_a_policy_is_made_promoted_by_force_and_rolled_back(api: Api) -> None:
    before = await decided(api, "person2")
    assert before["policy"] == "default@0"
    made = await api.post(
        "/v1/policies", json={"name": "bold", "exploration": 0.4}, headers={"Idempotency-Key": "make"}
    )
    assert (made.status_code, made.json()["version"], made.json()["is_in_force"]) == (201, 1, False)
    again = await api.post(
        "/v1/policies", json={"name": "bold", "exploration": 0.4}, headers={"Idempotency-Key": "make"}
    )
    assert (again.headers["idempotent-replayed"], again.json()) == ("true", made.json())

    refused = await api.post("/v1/policies/bold/promote", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "promotion_refused")
    assert refused.headers["content-type"] == "application/problem+json"
    assert "The log cannot tell whether bold@1 earns more than default@0" in refused.json()["detail"]
    without = await api.post("/v1/policies/bold/promote", json={"is_forced": True})
    assert (without.status_code, without.json()["errors"][0]["pointer"]) == (400, "/reason")

    key = {"Idempotency-Key": "promote"}
    promoted = await api.post("/v1/policies/bold/promote", json=FORCED, headers=key)
    assert promoted.status_code == 200
    assert promoted.json()["is_forced"] is True
    assert promoted.json()["promoted_by"].startswith("key ")
    assert promoted.json()["evaluation"]["trustworthy"] is False
    replayed = await api.post("/v1/policies/bold/promote", json=FORCED, headers=key)
    assert (replayed.headers["idempotent-replayed"], replayed.json()) == ("true", promoted.json())
    told = await until(api, lambda decision: decision["policy"] == "bold@1")
    logged = await api.resources.pool.fetchrow(
        "select policy, request from decisions where decision_id = $1", told["decision_id"]
    )
    rules = msgspec.json.decode(logged["request"], type=DecisionInputs).rules
    assert (logged["policy"], rules.policy, rules.exploration) == ("bold@1", "bold@1", 0.4)

    shown = (await api.get("/v1/policies")).json()
    assert (shown["in_force"], [one["settings"]["name"] for one in shown["data"]]) == ("bold@1", ["default", "bold"])
    assert [(one["name"], one["kind"], one["reason"]) for one in shown["promotions"]] == [
        ("bold", "promote", "a trial")
    ]
    assert (await api.get("/v1/policies/bold")).json()["is_in_force"] is True
    assert (await api.post("/v1/policies/rollback", json={"reason": "enough"})).status_code == 200
    await until(api, lambda decision: decision["policy"] == "default@0")
    nothing = await api.post("/v1/policies/rollback", json={})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "conflict")


async def test_an_evaluation_is_for_readers_and_kept_under_its_key(api: Api) -> None:
    await api.post("/v1/policies", json={"name": "bold", "exploration": 0.4})
    reader = await api.key("sk", "reports")
    asked = {"headers": reader | {"Idempotency-Key": "look"}, "json": {"channel": "in_app"}}
    first = await api.post("/v1/policies/bold/evaluate", **asked)
    assert first.status_code == 200
    assert first.json()["reasons"] == ["the log holds no decision that could be judged"]
    assert first.json()["gain"]["dr"] == {"value": None, "low": None, "high": None}
    second = await api.post("/v1/policies/bold/evaluate", **asked)
    assert (second.headers["idempotent-replayed"], second.json()) == ("true", first.json())
    assert (await api.post("/v1/policies/bold/promote", headers=reader, json=FORCED)).status_code == 403
    assert (await api.post("/v1/policies/nobody/evaluate", json={})).status_code == 404
    assert (await api.post("/v1/policies/Nobody%20here/evaluate", json={})).status_code == 404


async def test_one_evaluation_at_a_time(api: Api) -> None:
    await api.post("/v1/policies", json={"name": "bold"})
    both = await asyncio.gather(*[api.post("/v1/policies/bold/evaluate", json={}) for _ in range(2)])
    assert sorted(answer.status_code for answer in both) == [200, 503]
    assert any("retry-after" in answer.headers for answer in both)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "Bold"}, "/name"),
        ({"name": ".."}, "/name"),
        ({"name": "bold", "floor": 0.0}, "/floor"),
        ({"name": "bold", "floor": 1.1}, "/floor"),
        ({"name": "bold", "exploration": -1}, "/exploration"),
        ({"name": "bold", "gate_floor": 0.6}, "/gate_floor"),
        ({"name": "bold", "kind": "best"}, "/kind"),
        ({"name": "bold", "flor": 0.1}, "/flor"),
        ({"name": "greedy", "kind": "epsilon_greedy", "exploration": 2}, "/exploration"),
    ],
)
async def test_settings_out_of_bounds_are_told_by_their_field(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = await api.post("/v1/policies", json=body)
    assert (answer.status_code, [error["pointer"] for error in answer.json()["errors"]]) == (400, [pointer])


async def test_a_pin_holds_while_the_learner_goes_on_publishing(api: Api) -> None:
    composer = Composer(api.resources.pool)
    assert await composer.publish(NOW + timedelta(hours=1))
    await until(api, lambda decision: decision["snapshot_version"] == 2)
    pinned = await api.post("/v1/snapshots/1/pin", json={"reason": "the second one looks odd"})
    assert (pinned.status_code, pinned.json()["in_force"], pinned.json()["newest"]) == (200, 1, 2)
    assert pinned.json()["pin"]["reason"] == "the second one looks odd"
    await until(api, lambda decision: decision["snapshot_version"] == 1)
    for hour in (2, 3):
        assert await composer.publish(NOW + timedelta(hours=hour))
    await asyncio.sleep(0.2)
    assert (await decided(api))["snapshot_version"] == 1
    shown = (await api.get("/v1/snapshots?limit=2&before=4")).json()
    assert (shown["in_force"], shown["newest"], [one["version"] for one in shown["data"]]) == (1, 4, [3, 2])
    assert (await api.post("/v1/snapshots/unpin", json={})).status_code == 200
    await until(api, lambda decision: decision["snapshot_version"] == 4)
    assert (await api.post("/v1/snapshots/unpin", json={})).status_code == 409
    missing = await api.post("/v1/snapshots/99/pin", json={})
    assert (missing.status_code, missing.json()["detail"]) == (
        404,
        "snapshot 99 was never published, or it is no longer kept.",
    )
    await api.resources.pool.execute("update snapshots set body = set_byte(body, 40, 255) where version = 2")
    damaged = await api.post("/v1/snapshots/2/pin", json={})
    assert damaged.status_code == 409
    assert "checksum" in damaged.json()["detail"]
