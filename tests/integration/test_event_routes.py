"""POST /v1/events over HTTP: who may send what for whom."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio

from schema.event import BATCH_BYTES_MAX
from tests.integration.serving import Api, serving


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as running:
        yield running


def batch(*events: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    plain = {"user_id": "ann", "type": "purchase", "occurred_at": now.isoformat()}
    return {"sent_at": now.isoformat(), "batch": [plain | event for event in events]}


async def test_a_batch_is_answered_event_by_event(api: Api) -> None:
    sk = await api.key("sk", "ingest")
    long_ago = (datetime.now(UTC) - timedelta(days=300)).isoformat()
    answer = await api.post(
        "/v1/events",
        json=batch(
            {"event_id": "1"},
            {"event_id": "1"},
            {"event_id": "2", "slot": 99},
            {"event_id": "3", "type": "redeemed"},
            {"event_id": "4", "occurred_at": long_ago},
        ),
        headers=sk,
    )
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (3, 1, 1)
    assert told["errors"][0]["pointer"] == "/batch/2/slot"


async def test_a_publishable_key_speaks_for_nobody_else_and_redeems_nothing(api: Api) -> None:
    pk = await api.key("pk")
    long_ago = (datetime.now(UTC) - timedelta(days=8)).isoformat()
    answer = await api.post(
        "/v1/events",
        json=batch(
            {"event_id": "1"},
            {"event_id": "2", "user_id": None, "anonymous_id": "x"},
            {"event_id": "3", "user_id": None, "anonymous_id": "x", "type": "redeemed"},
            {"event_id": "4", "user_id": None, "anonymous_id": "x", "occurred_at": long_ago},
        ),
        headers=pk,
    )
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (1, 3)
    assert [(e["pointer"], e["code"]) for e in told["errors"]] == [
        ("/batch/0/user_id", "forbidden"),
        ("/batch/2/type", "forbidden"),
        ("/batch/3/occurred_at", "too_old"),
    ]


async def test_only_who_may_ingest_gets_in(api: Api) -> None:
    for headers, status in (({}, 401), (await api.key("sk", "offers"), 403)):
        answer = await api.post("/v1/events", json=batch({"event_id": "1"}), headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_a_body_too_large_is_413(api: Api) -> None:
    sk = await api.key("sk", "ingest")
    body = b'{"sent_at":"2026-01-01T00:00:00Z","batch":[' + b" " * BATCH_BYTES_MAX + b"]}"
    answer = await api.post("/v1/events", content=body, headers=sk | {"Content-Type": "application/json"})
    assert answer.status_code == 413
    answer = await api.post("/v1/events", json=batch(*[{"event_id": str(i)} for i in range(501)]), headers=sk)
    assert (answer.status_code, answer.json()["code"]) == (413, "batch_too_large")


async def test_offers_are_known_by_the_apps_name_even_after_their_end(api: Api) -> None:
    sk = await api.key("sk", "ingest")
    event = {"event_id": "1", "type": "view", "offer_id": "cola"}
    told = (await api.post("/v1/events", json=batch(event), headers=sk)).json()
    assert told["errors"][0]["code"] == "unknown_offer"
    offer = await api.resources.pool.fetchval(
        "insert into offers (external_id, created_at) values ('cola', now()) returning offer_id"
    )
    told = (await api.post("/v1/events", json=batch(event), headers=sk)).json()
    assert told["accepted"] == 1
    assert await api.resources.pool.fetchval("select offer_id from events") == offer
