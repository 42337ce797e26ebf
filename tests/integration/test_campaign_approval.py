"""Four eyes: a draft plans nothing, may be changed and deleted, and is launched by another key than the one that wrote it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from push.campaign import campaigns
from push.planning.planner import Planner
from service.planning.moments import LearnedMoments
from service.store import virtual_clock
from tests.integration import decision_world, push_world
from tests.integration.push_world import SEED
from tests.integration.serving import Api, serving
from tests.integration.test_forecast import BEFORE

BODY: dict[str, Any] = {
    "campaign_id": "lunch",
    "starts_at": "2026-03-02T00:00:00",
    "ends_at": "2026-03-09T00:00:00",
    "offers": ["coffee"],
}


class Keys:
    """The keys of an author, a second one, and somebody who may approve but not make."""

    author: dict[str, str]
    second: dict[str, str]
    chief: dict[str, str]


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, seed=SEED.decode(), is_virtual_clock=True, requires_approval=True) as served:
        pool = served.resources.pool
        await virtual_clock.advance(pool, BEFORE)
        await push_world.people(pool, 3)
        await push_world.offer(pool)
        await decision_world.publish(pool, BEFORE)
        await served.resources.snapshot.refresh()
        yield served


@pytest.fixture
async def keys(api: Api) -> Keys:
    found = Keys()
    found.author = await api.key("sk", "campaigns", "campaigns:approve")
    found.second = await api.key("sk", "campaigns", "campaigns:approve")
    found.chief = await api.key("sk", "campaigns:approve")
    return found


async def plan(api: Api) -> int:
    pool = api.resources.pool
    return await Planner(pool, LearnedMoments(api.resources.snapshot), SEED).plan_due(BEFORE)


async def approve(api: Api, key: dict[str, str], query: str = "") -> tuple[int, str]:
    answer = await api.post(f"/v1/campaigns/lunch/approve{query}", headers=key)
    body = answer.json()
    return answer.status_code, body.get("status") if answer.status_code == 200 else body["code"]


async def test_a_draft_plans_nothing_until_somebody_else_approves_it(api: Api, keys: Keys) -> None:
    made = await api.post("/v1/campaigns", json=BODY, headers=keys.author)
    assert (made.status_code, made.json()["status"]) == (201, "draft")
    assert await plan(api) == 0
    told = (await api.get("/v1/campaigns/lunch/forecast", headers=keys.author)).json()
    assert told["planned"] == 3
    assert await approve(api, keys.author) == (403, "forbidden")
    assert await approve(api, await api.key("sk", "campaigns")) == (403, "forbidden")
    assert await plan(api) == 0
    assert await approve(api, keys.chief) == (200, "active")
    assert await approve(api, keys.author) == (200, "active")
    assert await plan(api) == told["planned"]
    log = (await api.get("/v1/campaigns/lunch/changes", headers=keys.author)).json()["data"]
    assert [entry["what"] for entry in log] == ["approved", "made"]
    assert log[0]["changed_by"] != log[1]["changed_by"]
    assert log[1]["campaign"] == made.json()["campaign"]


async def test_whoever_changed_a_draft_last_does_not_approve_it(api: Api, keys: Keys) -> None:
    await push_world.offer(api.resources.pool, "bagel", discount_type="amount", discount_minor=50)
    made = await api.post("/v1/campaigns", json=BODY | {"budget_minor": 900, "offers": []}, headers=keys.author)
    assert made.status_code == 201, made.text
    change = BODY | {"ttl_s": 600, "budget_minor": 100, "offers": []}
    unfit = await api.put("/v1/campaigns/lunch", json=change | {"hours": [1], "offers": ["x"]}, headers=keys.second)
    assert (unfit.status_code, unfit.json()["errors"][0]["pointer"]) == (400, "/offers/0")
    assert (await api.put("/v1/campaigns/dinner", json=change, headers=keys.second)).status_code == 400
    changed = await api.put("/v1/campaigns/lunch", json=change, headers=keys.second)
    assert (changed.status_code, changed.json()["campaign"]["ttl_s"]) == (200, 600)
    budgets = await api.resources.pool.fetch("select budget_minor from allowances where budget_minor is not null")
    assert [row[0] for row in budgets] == [100]
    first, newest = (await api.get("/v1/campaigns/lunch/changes", headers=keys.author)).json()["data"][::-1]
    assert await approve(api, keys.second) == (403, "forbidden")
    assert await approve(api, keys.author, f"?change={first['change']}") == (409, "conflict")
    assert await approve(api, keys.author, f"?change={newest['change']}") == (200, "active")
    refused = await api.put("/v1/campaigns/lunch", json=change, headers=keys.second)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await api.delete("/v1/campaigns/lunch", headers=keys.author)).status_code == 409


async def test_a_draft_is_neither_paused_nor_resumed_but_deleted_or_ended(api: Api, keys: Keys) -> None:
    api.headers.update(keys.author)
    for name in ("lunch", "dinner"):
        await api.post("/v1/campaigns", json=BODY | {"campaign_id": name, "budget_minor": None})
        for verb in ("pause", "resume"):
            turned = await api.post(f"/v1/campaigns/{name}/{verb}")
            assert (turned.status_code, "draft" in turned.json()["detail"]) == (409, True)
    assert (await api.post("/v1/campaigns/dinner/end")).json()["status"] == "ended"
    assert await approve(api, keys.chief) == (200, "active")
    assert (await api.post("/v1/campaigns/dinner/approve", headers=keys.chief)).status_code == 409
    await api.post("/v1/campaigns", json=BODY | {"campaign_id": "tea"})
    assert (await api.delete("/v1/campaigns/tea")).status_code == 204
    assert (await api.get("/v1/campaigns/tea")).status_code == 404
    assert await api.resources.pool.fetchval("select what from campaign_changes order by change desc") == "deleted"
    assert (await api.post("/v1/campaigns", json=BODY | {"campaign_id": "tea"})).status_code == 201


async def test_what_a_draft_would_send_is_checked_again_when_it_is_approved(api: Api, keys: Keys) -> None:
    await api.post("/v1/campaigns", json=BODY, headers=keys.author)
    await virtual_clock.advance(api.resources.pool, BEFORE + timedelta(days=20))
    assert await approve(api, keys.chief) == (400, "invalid_field")
    assert (await api.get("/v1/campaigns/lunch", headers=keys.author)).json()["status"] == "draft"


async def test_of_a_change_and_an_approval_at_once_one_comes_first(api: Api, keys: Keys) -> None:
    for number in range(8):
        body = BODY | {"campaign_id": f"c{number}"}
        await api.post("/v1/campaigns", json=body, headers=keys.author)
        changed, approved = await asyncio.gather(
            api.put(f"/v1/campaigns/c{number}", json=body | {"ttl_s": 60}, headers=keys.second),
            api.post(f"/v1/campaigns/c{number}/approve", headers=keys.second),
        )
        assert {changed.status_code, approved.status_code} in ({200, 403}, {409, 200})
        stored = (await api.get(f"/v1/campaigns/c{number}", headers=keys.author)).json()
        assert (stored["status"], stored["campaign"]["ttl_s"]) == (
            ("draft", 60) if changed.status_code == 200 else ("active", 21_600)
        )


async def test_turns_are_on_record_also_those_of_the_dispatcher(api: Api, keys: Keys) -> None:
    api.headers.update(keys.author)
    await api.post("/v1/campaigns", json=BODY)
    await approve(api, keys.chief)
    for verb in ("pause", "pause", "resume"):
        await api.post(f"/v1/campaigns/lunch/{verb}")
    stored = await campaigns.read(api.resources.pool, "lunch")
    assert stored is not None
    assert await campaigns.pause(api.resources.pool, [stored.id], BEFORE) == ["lunch"]
    assert await campaigns.pause(api.resources.pool, [stored.id], BEFORE) == []
    first = (await api.get("/v1/campaigns/lunch/changes?limit=3")).json()
    last = (await api.get(f"/v1/campaigns/lunch/changes?cursor={first['next_cursor']}")).json()
    what = [(entry["what"], entry["changed_by"][:4]) for entry in first["data"] + last["data"]]
    assert what == [("paused", "disp"), *((done, "key ") for done in ("resumed", "paused", "approved", "made"))]
    assert (await api.get("/v1/campaigns/lunch/changes?cursor=x")).status_code == 400


async def test_without_the_setting_a_draft_is_asked_for(database: str) -> None:
    async with serving(database, is_virtual_clock=True) as api:
        await virtual_clock.advance(api.resources.pool, BEFORE)
        await push_world.offer(api.resources.pool)
        api.headers.update(await api.key("sk", "campaigns"))
        assert (await api.post("/v1/campaigns", json=BODY)).json()["status"] == "active"
        drafted = await api.post("/v1/campaigns?draft=true", json=BODY | {"campaign_id": "tea"})
        assert drafted.json()["status"] == "draft"


async def test_a_draft_cannot_be_changed_to_what_this_installation_does_not_send(api: Api, keys: Keys) -> None:
    await api.post("/v1/campaigns", json=BODY, headers=keys.author)
    by_mail = BODY | {"channels": ["push", "email"]}
    for method, path in (("POST", "/v1/campaigns?dry_run=true"), ("PUT", "/v1/campaigns/lunch")):
        answer = await api.request(method, path, json=by_mail, headers=keys.author)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/channels"), answer.text
    # Made where there was a mail server, approved where there is none.
    await api.resources.pool.execute(
        "update campaigns set body = jsonb_set(body, '{channels}', '[\"push\", \"email\"]')"
    )
    assert await approve(api, keys.chief) == (400, "invalid_field")
