"""Campaigns over HTTP: made, refused, listed by pages, paused, resumed, ended."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from push import outbox_days
from schema.campaign import StoredCampaign
from schema.ids import instant_of
from tests.integration.serving import NOW, Api, serving

LUNCH = {"campaign_id": "lunch", "starts_at": "2099-03-02T00:00:00", "ends_at": "2099-03-09T00:00:00"}
COFFEE = {"offer_id": "coffee", "creative": {"title": "Coffee"}, "tags": ["coffee"], "code": "C20"}
FRIDAY = {"offer_id": "friday", "creative": {"title": "Happy Friday"}, "tags": ["mood"]}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, seed="s") as served:
        offers = await served.key("sk", "offers")
        for offer in (COFFEE, FRIDAY):
            assert (await served.post("/v1/offers", json=offer, headers=offers)).status_code == 201
        served.headers.update(await served.key("sk", "campaigns", "offers"))
        yield served


async def wrong(api: Api, **changes: Any) -> list[str]:
    """The pointers of what a campaign is refused for."""
    answer = await api.post("/v1/campaigns", json=LUNCH | changes)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_the_life_of_a_campaign(api: Api) -> None:
    made = await api.post("/v1/campaigns", json=LUNCH | {"offers": ["coffee", "friday"]})
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["status"], body["campaign"]["campaign_id"], body["campaign"]["ttl_s"]) == ("active", "lunch", 21600)
    assert (await api.get("/v1/campaigns/lunch")).json() == body
    again = await api.post("/v1/campaigns", json=LUNCH)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    for verb, status in (
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "active"),
        ("end", "ended"),
        ("end", "ended"),
    ):
        turned = await api.post(f"/v1/campaigns/lunch/{verb}")
        assert (turned.status_code, turned.json()["status"]) == (200, status)
    resumed = await api.post("/v1/campaigns/lunch/resume")
    assert (resumed.status_code, resumed.json()["code"]) == (409, "conflict")
    for missing in (await api.get("/v1/campaigns/dinner"), await api.post("/v1/campaigns/nul%00/pause")):
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_the_first_occurrence_waits_for_the_planner(api: Api) -> None:
    await api.post("/v1/campaigns", json=LUNCH)
    row = await api.resources.pool.fetchrow("select * from campaigns")
    assert row["next_occurrence_at"].isoformat() == "2099-03-02T00:00:00+00:00"
    assert row["plan_at"].isoformat() == "2099-03-01T09:00:00+00:00"
    assert instant_of(row["campaign_id"]) > NOW


async def test_a_message_without_value_is_refused(api: Api) -> None:
    refused = await api.post("/v1/campaigns", json=LUNCH | {"offers": ["friday"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "no_redeemable_offer")
    assert refused.json()["errors"][0]["pointer"] == "/offers"
    assert "without value must not be sent" in refused.json()["detail"]
    for change in (
        {"code": None},
        {"code": " "},
        {"is_redeemable": False},
        {"paused": True},
        {"ends_at": "2099-02-27T00:00:00Z"},
        {"starts_at": "2099-03-10T00:00:00Z"},
        {"channels": ["in_app"]},
    ):
        assert (await api.put("/v1/offers/coffee", json=COFFEE | change)).status_code == 200
        for offers in ([], ["coffee"]):
            answer = await api.post("/v1/campaigns", json=LUNCH | {"offers": offers})
            assert (answer.status_code, answer.json()["code"]) == (422, "no_redeemable_offer"), change
    given = {"discount_type": "percent", "discount_percent": 20}
    for number, change in enumerate(({}, {"code": None, "discount_type": "gift"}, {"code": None} | given)):
        assert (await api.put("/v1/offers/coffee", json=COFFEE | change)).status_code == 200
        assert (await api.post("/v1/campaigns", json=LUNCH | {"campaign_id": f"c{number}"})).status_code == 201
    assert (await api.put("/v1/offers/friday", json=FRIDAY | {"is_redeemable": True})).status_code == 200
    assert (await api.post("/v1/campaigns", json=LUNCH | {"offers": ["friday"]})).status_code == 201


async def test_an_offer_that_is_given_a_discount_later_has_value(api: Api) -> None:
    change = {"discount_type": "percent", "discount_percent": 5}
    assert (await api.patch("/v1/offers/friday", json=change)).json()["is_redeemable"] is None
    assert (await api.post("/v1/campaigns", json=LUNCH | {"offers": ["friday"]})).status_code == 201


async def test_what_is_wrong_is_named(api: Api) -> None:
    assert await wrong(api, ends_at=LUNCH["starts_at"]) == ["/ends_at"]
    assert await wrong(api, starts_at="2020-01-01T00:00:00", ends_at="2020-01-08T00:00:00") == ["/ends_at"]
    assert await wrong(api, ends_at="9999-12-31T23:59:59") == ["/ends_at"]
    assert await wrong(api, starts_at="1999-12-31T23:59:59") == ["/starts_at"]
    assert await wrong(api, starts_at="1999-12-31T23:59:59", ends_at="2200-01-01T00:00:00") == [
        "/starts_at",
        "/ends_at",
    ]
    for worth in ("value_open", "value_redeem", "attention_price"):
        assert await wrong(api, **{worth: 1.1e9}) == [f"/{worth}"]
    assert await wrong(api, default_time_zone="Mars/Olympus", offers=["coffee", "x", "y"]) == [
        "/default_time_zone",
        "/offers/1",
        "/offers/2",
    ]
    assert await wrong(api, starts_at="2099-03-02T00:00:00Z") == ["/starts_at"]
    assert await wrong(api, campaign_id="..") == ["/campaign_id"]
    assert await wrong(api, hours=[168]) == ["/hours/0"]
    assert await wrong(api, extra=1) == ["/extra"]
    assert (await api.get("/v1/campaigns?cursor=%25")).status_code == 400


async def test_what_is_wrong_with_an_audience_is_named(api: Api) -> None:
    async def wrong_rules(**rules: Any) -> list[str]:
        return [pointer.removeprefix("/audience/") for pointer in await wrong(api, audience=rules)]

    assert await wrong_rules(tags_all=["vip", "a;b", "Staff"], tags_none=["staff "]) == ["tags_all/1", "tags_all/2"]
    assert await wrong_rules(tags_any=["staff", "VIP"], tags_none=["vip", "staff"]) == ["tags_any"]
    assert await wrong_rules(store_ids=["7", "8"], exclude_store_ids=["8"]) == ["store_ids/1"]
    assert await wrong_rules(time_zones=["Europe/Berlin", "Mars"]) == ["time_zones/1"]
    assert await wrong_rules(active_within_days=7, inactive_for_days=7) == ["active_within_days"]
    assert await wrong_rules(languages=["german"]) == ["languages/0"]
    assert await wrong_rules(platforms=["fax"]) == ["platforms/0"]
    assert await wrong_rules(birth_date="2000-01-01") == ["birth_date"]
    rules = {"tags_any": ["VIP", "vip "], "languages": ["de-AT"], "active_within_days": 8, "inactive_for_days": 7}
    made = await api.post("/v1/campaigns", json=LUNCH | {"audience": rules})
    assert made.status_code == 201
    assert made.json()["campaign"]["audience"]["tags_any"] == ["vip"]


async def test_pages(api: Api) -> None:
    for name in ("c", "a", "b"):
        assert (await api.post("/v1/campaigns", json=LUNCH | {"campaign_id": name})).status_code == 201
    first = (await api.get("/v1/campaigns?limit=2")).json()
    assert [one["campaign"]["campaign_id"] for one in first["data"]] == ["a", "b"]
    last = (await api.get(f"/v1/campaigns?limit=2&cursor={first['next_cursor']}")).json()
    assert ([one["campaign"]["campaign_id"] for one in last["data"]], last["has_more"]) == (["c"], False)
    assert last["next_cursor"] is None


async def test_the_same_request_again_makes_one_campaign(api: Api) -> None:
    key = {"Idempotency-Key": "k1"}
    made = [await api.post("/v1/campaigns", json=LUNCH, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].content == made[1].content
    other = await api.post("/v1/campaigns", json=LUNCH | {"ttl_s": 60}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert set(made[0].json()) == set(StoredCampaign.__struct_fields__)


LATER = datetime(2099, 3, 2, tzinfo=UTC)
ROWS = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, expires_at, send_until,
                        moment_propensity, decision_id, outcome)
    select n, campaign_id, $2, 1, gen_random_uuid(), 0, state, $1, $1, $1, 0.5, decision_id, outcome
      from campaigns, (values (1, 3, gen_random_uuid(), 'projects/p/messages/1'), (2, 3, gen_random_uuid(), 'projects/p/messages/2'),
                              (3, 8, gen_random_uuid(), 'gate'), (4, 6, gen_random_uuid(), 'vetoed'), (5, 0, null, null))
           as t(n, state, decision_id, outcome)
"""


async def test_outcomes_are_counted(api: Api) -> None:
    await api.post("/v1/campaigns", json=LUNCH)
    async with api.resources.pool.acquire() as connection:
        await outbox_days.ensure(connection, [LATER])
    await api.resources.pool.execute(ROWS, NOW, LATER)
    found = (await api.get("/v1/campaigns/lunch/outcomes")).json()
    assert {state: count for state, count in found["states"].items() if count} == {
        "planned": 1,
        "accepted": 2,
        "withdrawn": 1,
        "no_send": 1,
    }
    assert (found["decisions"], found["reasons"]) == (4, {"gate": 1, "vetoed": 1})
    await api.resources.pool.execute("update outbox set state = 6, outcome = 'ended' where state = 0")
    found = (await api.get("/v1/campaigns/lunch/outcomes")).json()
    closed = LATER + timedelta(days=2)
    for now in (closed, closed + outbox_days.KEPT_FOR + timedelta(seconds=1)):
        async with api.resources.pool.acquire() as connection:
            await outbox_days.close(connection, now)
            await outbox_days.forget(connection, now)
        assert (await api.get("/v1/campaigns/lunch/outcomes")).json() == found
    assert await api.resources.pool.fetchval("select to_regclass('outbox_20990302')") is None
    assert (await api.get("/v1/campaigns/nowhere/outcomes")).status_code == 404
    assert (await api.get("/v1/campaigns?limit=0")).status_code == 400


async def test_a_campaign_that_events_set_off(api: Api) -> None:
    conditions = [
        {"property": "store_id", "is_one_of": ["12", 12]},
        {"property": "amount", "at_least": 5, "at_most": 9},
    ]
    trigger = {"event_type": "purchase", "conditions": conditions, "offers": ["coffee"], "delay_s": 60}
    made = await api.post("/v1/campaigns", json=LUNCH | {"trigger": trigger})
    assert made.status_code == 201, made.text
    told = made.json()["campaign"]["trigger"]
    assert (told["cooldown_s"], told["is_about_offer"]) == (86_400, False)
    row = await api.resources.pool.fetchrow("select next_occurrence_at, plan_at from campaigns")
    assert tuple(row) == (None, None)
    assert await wrong(api, trigger=trigger, recurrence="weekly") == ["/recurrence"]
    assert await wrong(api, trigger=trigger | {"offers": ["coffee", "x"]}) == ["/trigger/offers/1"]
    never = {"property": "amount", "at_least": 9, "at_most": 5}
    assert await wrong(api, trigger=trigger | {"conditions": [never]}) == ["/trigger/conditions/0/at_most"]
    for change in (
        {"event_type": "not_now"},
        {"cooldown_s": 59},
        {"delay_s": -1},
        {"conditions": [{"property": "p"}] * 9},
        {"surely": True},
    ):
        assert (await api.post("/v1/campaigns", json=LUNCH | {"trigger": trigger | change})).status_code == 400
