"""Endpoints of webhooks over HTTP: made, shown without their secret, changed, given another secret, deleted; and named by campaigns."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from push.sealing import about_webhook
from tests.integration.serving import Api, serving

CRM = {"webhook_id": "crm", "url": "https://example.com/hook"}
LUNCH = {"campaign_id": "lunch", "starts_at": "2099-03-02T00:00:00", "ends_at": "2099-03-09T00:00:00"}
COFFEE = {"offer_id": "coffee", "creative": {"title": "Coffee"}, "tags": ["coffee"], "code": "C20"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        served.headers.update(await served.key("sk", "admin"))
        yield served


async def wrong(api: Api, path: str, body: dict[str, Any]) -> list[str]:
    """The pointers of what a body is refused for."""
    answer = await api.post(path, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_the_life_of_an_endpoint(api: Api) -> None:
    key = {"Idempotency-Key": "k1"}
    made = (await api.post("/v1/webhooks", json=CRM, headers=key)).json()
    assert made.pop("secret").startswith("whsec_")
    assert (made["webhook_id"], made["is_paused"], made["failures"]) == ("crm", False, 0)
    again = await api.post("/v1/webhooks", json=CRM, headers=key)
    assert (again.headers["idempotent-replayed"], again.json()) == ("true", made)
    assert (await api.post("/v1/webhooks", json=CRM)).json()["code"] == "conflict"
    assert (await api.get("/v1/webhooks/crm")).json() == made
    changed = await api.patch("/v1/webhooks/crm", json={"url": "https://example.com/other", "is_paused": True})
    assert changed.json() == made | {"url": "https://example.com/other", "is_paused": True}
    assert (await api.patch("/v1/webhooks/crm", json={"is_paused": False})).json()["is_paused"] is False
    first, second = [(await api.post("/v1/webhooks/crm/secret")).json()["secret"] for _ in range(2)]
    assert first != second
    old = await api.resources.pool.fetchval("select old_secret from webhooks")
    assert api.resources.encryption.open(old, about_webhook("crm")) == first
    assert (await api.post("/v1/webhooks", json=CRM | {"webhook_id": "till"})).status_code == 201
    page = (await api.get("/v1/webhooks?limit=1")).json()
    assert ([one["webhook_id"] for one in page["data"]], page["next_cursor"]) == (["crm"], "crm")
    rest = (await api.get("/v1/webhooks?cursor=crm")).json()
    assert ([one["webhook_id"] for one in rest["data"]], rest["has_more"]) == (["till"], False)
    assert (await api.delete("/v1/webhooks/crm")).status_code == 204
    for answer in (
        await api.delete("/v1/webhooks/crm"),
        await api.get("/v1/webhooks/crm"),
        await api.patch("/v1/webhooks/crm", json={}),
        await api.post("/v1/webhooks/crm/secret"),
        await api.get("/v1/webhooks/nul%00"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_what_is_wrong_is_named(api: Api) -> None:
    for url in (
        "http://example.com/",
        "https://10.0.0.1/",
        "https://u:p@example.com/",
        "example.com",
        "",
        "https://[::1]/",
    ):
        assert await wrong(api, "/v1/webhooks", CRM | {"url": url}) == ["/url"], url
    assert await wrong(api, "/v1/webhooks", CRM | {"webhook_id": ".."}) == ["/webhook_id"]
    assert await wrong(api, "/v1/webhooks", CRM | {"extra": 1}) == ["/extra"]
    assert (await api.get("/v1/webhooks?cursor=%25")).json()["errors"][0]["pointer"] == "query:cursor"
    limited = await api.get("/v1/webhooks", headers=await api.key("sk", "campaigns"))
    assert limited.status_code == 403


async def test_a_campaign_names_channels_and_webhooks_that_there_are(api: Api) -> None:
    assert (await api.post("/v1/offers", json=COFFEE)).status_code == 201
    assert await wrong(api, "/v1/campaigns", LUNCH | {"channels": ["webhook"]}) == ["/channels"]
    assert (await api.post("/v1/webhooks", json=CRM)).status_code == 201
    unknown = LUNCH | {"channels": ["push", "webhook"], "webhooks": ["crm", "till"]}
    assert await wrong(api, "/v1/campaigns", unknown) == ["/webhooks/1"]
    assert await wrong(api, "/v1/campaigns", LUNCH | {"webhooks": ["crm"]}) == ["/webhooks"]
    assert await wrong(api, "/v1/campaigns", LUNCH | {"channels": []}) == ["/channels"]
    assert await wrong(api, "/v1/campaigns", LUNCH | {"channels": ["push", "push"]}) == ["/channels"]
    assert await wrong(api, "/v1/campaigns", LUNCH | {"channels": ["fax"]}) == ["/channels/0"]
    made = await api.post("/v1/campaigns", json=LUNCH | {"channels": ["inbox", "webhook"], "webhooks": ["crm"]})
    assert made.status_code == 201, made.text
    assert (await api.get("/v1/campaigns/lunch/outcomes")).json()["deliveries"] == {}
