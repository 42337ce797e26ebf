"""POST /v1/events over HTTP: who may send what for whom."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from schema.event import BATCH_BYTES_MAX
from service.store import event_log, tags
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


async def tag_names(api: Api) -> list[str]:
    return [row[0] for row in await api.resources.pool.fetch("select tag from tags order by tag_id")]


def telling(first: int, *tags: str, **person: Any) -> dict[str, Any]:
    return batch({"event_id": str(first), "type": "view", "properties": {"tags": tags}} | person)


async def test_a_publishable_key_makes_no_tags(api: Api) -> None:
    pk, sk = await api.key("pk"), await api.key("sk", "ingest")
    await api.post("/v1/events", json=telling(1, "coffee"), headers=sk)
    stranger = {"user_id": None, "anonymous_id": "x"}
    made_up = telling(2, "Coffee ", *(f"made-up-{n}" for n in range(60)), **stranger)
    told = (await api.post("/v1/events", json=made_up, headers=pk)).json()
    assert (told["accepted"], told["errors"]) == (1, [])
    assert await tag_names(api) == ["coffee"]
    (coffee,) = await api.resources.pool.fetchrow("select tag_id from tags")
    async with api.resources.pool.acquire() as connection:
        batches, _ = await event_log.read(connection, dict.fromkeys(range(64), 0))
    assert [entry.tag_ids for part in batches for entry in part.entries] == [(coffee,)] * 2


async def test_events_of_both_kinds_of_key_in_one_commit_are_told_apart(api: Api) -> None:
    pk, sk = await api.key("pk"), await api.key("sk", "ingest")
    stranger = {"user_id": None, "anonymous_id": "x"}
    await asyncio.gather(
        *(api.post("/v1/events", json=telling(n, f"till-{n}"), headers=sk) for n in range(6)),
        *(api.post("/v1/events", json=telling(n, f"phone-{n}", **stranger), headers=pk) for n in range(6)),
    )
    assert sorted(await tag_names(api)) == [f"till-{n}" for n in range(6)]


async def test_events_leave_room_for_the_tags_of_offers(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tags.EVENT_TAGS_MAX == 3_072
    monkeypatch.setattr(tags, "TAGS_MAX", 4)
    monkeypatch.setattr(tags, "EVENT_TAGS_MAX", 3)
    sk = await api.key("sk", "ingest", "offers")
    for turn in range(2):
        told = (await api.post("/v1/events", json=telling(turn, "d", "c", "b", "a"), headers=sk)).json()
        assert told["accepted"] == 1
        assert await tag_names(api) == ["a", "b", "c"]
    offer = {"offer_id": "tea", "creative": {"title": "Tea"}, "tags": ["tea"]}
    assert (await api.post("/v1/offers", json=offer, headers=sk)).status_code == 201
    refused = await api.post("/v1/offers", json=offer | {"offer_id": "x", "tags": ["one more"]}, headers=sk)
    assert refused.status_code == 409
