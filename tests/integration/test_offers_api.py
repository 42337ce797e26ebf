"""Offers over HTTP: made, replaced, changed, listed by pages, deleted, and imported from a file."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.serving import Api, serving

TEA = {"offer_id": "tea", "creative": {"title": "Tea"}, "tags": ["Hot", "hot "], "price_minor": 150, "sensitive": True}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        served.headers.update(await served.key("sk", "offers"))
        yield served


async def test_the_life_of_an_offer(api: Api) -> None:
    made = await api.post("/v1/offers", json=TEA)
    assert made.status_code == 201
    assert {name: made.json()[name] for name in ("tags", "sensitive", "paused", "channels")} == {
        "tags": ["hot"],
        "sensitive": True,
        "paused": False,
        "channels": ["push", "in_app"],
    }
    assert (await api.get("/v1/offers/tea")).json() == made.json()
    again = await api.post("/v1/offers", json=TEA)
    assert (again.status_code, again.json()["code"], again.json()["errors"][0]["pointer"]) == (
        409,
        "conflict",
        "/offer_id",
    )
    assert (await api.put("/v1/offers/tea", json=TEA | {"price_minor": 175})).status_code == 200
    assert (await api.put("/v1/offers/milk", json=TEA | {"offer_id": "milk"})).status_code == 201
    patched = await api.patch("/v1/offers/tea", json={"paused": True, "sensitive": None, "creative": {"body": "Hot"}})
    assert patched.status_code == 200, patched.text
    assert (patched.json()["paused"], patched.json()["sensitive"]) == (True, False)
    assert (patched.json()["creative"]["title"], patched.json()["creative"]["body"]) == ("Tea", "Hot")
    assert (await api.get("/v1/offers/tea")).json() == patched.json()
    assert (await api.delete("/v1/offers/tea")).status_code == 204
    for response in (
        await api.get("/v1/offers/tea"),
        await api.delete("/v1/offers/tea"),
        await api.patch("/v1/offers/tea", json={}),
        await api.get("/v1/offers/nul%00"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"ends_at": "2026-01-01T00:00:00Z", "starts_at": "2026-01-02T00:00:00Z"}, "/ends_at"),
        ({"starts_at": "2026-01-02T00:00:00"}, "/starts_at"),
        ({"discount_type": "percent", "discount_percent": 5, "discount_minor": 5}, "/discount_minor"),
        ({"creative": {"title": "T", "deep_link": "javascript:alert(1)"}}, "/creative/deep_link"),
        (
            {
                "creative": {"title": "T", "image_url": f"https://{'x' * 2040}", "deep_link": f"shop://{'x' * 2041}"},
                "sensitive": False,
            },
            "/creative/image_url",
        ),
        ({"tags": ["a", "\u0000"]}, "/tags/1"),
        ({"tags": ["a", "\u0001"]}, "/tags/1"),
        ({"price_minor": -1}, "/price_minor"),
        ({"colour": "red"}, "/colour"),
        ({"offer_id": "other"}, "/offer_id"),
    ],
)
async def test_what_breaks_a_rule_is_told_by_pointer(api: Api, change: dict[str, Any], pointer: str) -> None:
    await api.post("/v1/offers", json=TEA)
    for response in (
        await api.put("/v1/offers/tea", json=TEA | change),
        await api.patch("/v1/offers/tea", json=change),
    ):
        assert response.status_code == 400, response.text
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


async def test_pages(api: Api) -> None:
    names = [f"o{number}" for number in range(5)]
    for name in names:
        await api.put(f"/v1/offers/{name}", json=TEA | {"offer_id": name})
    found, cursor = [], None
    for _ in range(3):
        page = (await api.get("/v1/offers", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        found += [offer["offer_id"] for offer in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
    assert (found, cursor) == (names, None)
    for wrong in ({"cursor": "x"}, {"cursor": "ffffffff"}, {"limit": 0}, {"limit": 1001}, {"limit": "x"}):
        assert (await api.get("/v1/offers", params=wrong)).status_code == 400, wrong


async def test_only_keys_with_the_scope_may(api: Api) -> None:
    for key in (await api.key("pk"), await api.key("sk", "ingest")):
        for path in ("/v1/offers", "/v1/offers/tea"):
            assert (await api.get(path, headers=key)).status_code == 403
        response = await api.post("/v1/offers/imports", headers=key | {"Content-Type": "text/csv"}, content=b"")
        assert response.status_code == 403


async def test_an_import_over_http(api: Api) -> None:
    text = {"Content-Type": "text/csv; charset=utf-8"}
    good = b"offer_id,title,tags,price\ntea,Tea,hot,1.50\nmilk,Milk,cold,2\n"
    dry = await api.post("/v1/offers/imports", params={"dry_run": "true"}, headers=text, content=good)
    assert (dry.status_code, dry.json()["new"], dry.json()["written"]) == (200, 2, False)
    assert (await api.get("/v1/offers/tea")).status_code == 404
    keyed = text | {"Idempotency-Key": "upload-1"}
    for replayed in ("false", "true"):
        done = await api.post("/v1/offers/imports", headers=keyed, content=good)
        assert (done.status_code, done.json()["new"], done.json()["catalogue_version"]) == (200, 2, 1)
        assert done.headers.get("idempotent-replayed", "false") == replayed
    bad = await api.post("/v1/offers/imports", headers=text, content=good + b"x,,y,1\n")
    assert (bad.status_code, bad.headers["content-type"]) == (422, "application/problem+json")
    problem = bad.json()
    assert problem["detail"] == "Nothing was written: 1 error in 3 rows."
    assert problem["errors"] == [{"pointer": "/rows/4/title", "code": "required", "detail": "title must not be empty"}]
    assert problem["report"]["errors"][0] | {"line": 4, "column": "title"} == problem["report"]["errors"][0]
    assert problem["request_id"] == bad.headers["x-request-id"]
    assert (await api.post("/v1/offers/imports", headers=text, content=b"")).status_code == 422
    assert (await api.post("/v1/offers/imports", json={})).status_code == 415
    assert (await api.post("/v1/offers/imports", headers=text, content=b"x" * (16 * 2**20 + 1))).status_code == 413


async def test_the_document_names_the_answers(api: Api) -> None:
    paths = (await api.get("/schema/openapi.json")).json()["paths"]
    assert set(paths["/v1/offers/{offer_id}"]) >= {"get", "put", "patch", "delete"}
    content = paths["/v1/offers/imports"]["post"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["$ref"].endswith("ImportReport")
