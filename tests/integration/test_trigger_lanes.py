"""Every way an event comes in over HTTP sets off pushes: the flood lane, an answer to a decision, the till."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema.event import EventType
from schema.ids import uuid7
from service.learning.composer import Composer
from tests.integration.serving import Api, serving
from tests.integration.test_feedback import INSERT

COFFEE = {"offer_id": "coffee", "creative": {"title": "Coffee"}, "tags": ["coffee"], "code": "C20"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        served.headers.update(await served.key("sk", "admin"))
        assert (await served.put("/v1/offers/coffee", json=COFFEE)).is_success
        device = {"user_id": "ann", "token": "ok-1", "platform": "android", "time_zone": "UTC"}
        assert (await served.put("/v1/devices/phone", json=device)).is_success
        # No quiet hours, for the clock is the real one.
        assert (await served.put("/v1/contact-rules", json={"quiet_hours": []})).is_success
        yield served


async def wait_for(api: Api, event_type: str) -> None:
    """Makes a campaign, and waits until this worker has heard of it, as it does by itself."""
    today = datetime.now(UTC).replace(tzinfo=None)
    window = {
        "starts_at": (today - timedelta(days=1)).isoformat(),
        "ends_at": (today + timedelta(days=9)).isoformat(),
    }
    body = {"campaign_id": event_type, "trigger": {"event_type": event_type}} | window
    assert (await api.post("/v1/campaigns", json=body)).status_code == 201
    async with asyncio.timeout(5):
        while EventType[event_type.upper()] not in api.resources.triggers._armed:
            await asyncio.sleep(0.02)


async def planned(api: Api) -> int:
    return int(await api.resources.pool.fetchval("select count(*) from outbox where state = 0"))


async def event(api: Api, name: str, at: datetime, sent_at: datetime | None = None) -> None:
    one = {"event_id": name, "user_id": "ann", "type": "left_store", "occurred_at": at.isoformat()}
    body = {"sent_at": (sent_at or datetime.now(UTC)).isoformat(), "batch": [one]}
    assert (await api.post("/v1/events", json=body)).json()["accepted"] == 1


async def test_an_event_of_the_flood_lane(api: Api) -> None:
    await wait_for(api, "left_store")
    now = datetime.now(UTC)
    await event(api, "long ago", now - timedelta(minutes=11))
    assert await planned(api) == 0
    a_day = timedelta(days=1)
    await event(api, "old by a clock that is a day ahead", now - timedelta(minutes=11) + a_day, now + a_day)
    assert await planned(api) == 0
    await event(api, "fresh by a clock that is a day late", now - a_day, now - a_day)
    assert await planned(api) == 1


async def test_an_answer_to_a_decision(api: Api) -> None:
    await wait_for(api, "thumbs_up")
    user_id = await api.resources.pool.fetchval("select user_id from users")
    decision_id = uuid7(datetime.now(UTC) - timedelta(hours=1), bytes(10))
    await api.resources.pool.execute(INSERT, user_id, decision_id, 1)
    for _ in range(2):
        answer: Any = await api.post(
            f"/v1/decisions/{decision_id}/feedback", json={"type": "thumbs_up", "user_id": "ann"}
        )
        assert answer.status_code == 200, answer.text
    assert await planned(api) == 1


async def test_a_redemption_at_the_till(api: Api) -> None:
    await wait_for(api, "redeemed")
    sale = {"user_id": "ann", "offer_id": "coffee"}
    for _ in range(2):
        told = await api.post("/v1/redemptions", json=sale, headers={"Idempotency-Key": "sale-1"})
        assert told.status_code == 201, told.text
    assert await planned(api) == 1


async def test_a_draft_hears_nothing_before_it_is_approved_and_a_dry_run_tells_of_its_audience(api: Api) -> None:
    await Composer(api.resources.pool).publish(datetime.now(UTC))
    await api.resources.snapshot.refresh()
    today = datetime.now(UTC).replace(tzinfo=None)
    body = {
        "campaign_id": "later",
        "trigger": {"event_type": "left_store"},
        "starts_at": (today - timedelta(days=1)).isoformat(),
        "ends_at": (today + timedelta(days=9)).isoformat(),
    }
    told = await api.post("/v1/campaigns?dry_run=true", json=body)
    assert told.status_code == 200, told.text
    forecast = told.json()
    assert (forecast["audience"], forecast["planned"], forecast["occurrence_at"]) == (1, 0, None)
    assert (await api.post("/v1/campaigns?draft=true", json=body)).json()["status"] == "draft"
    async with api.resources.pool.acquire() as connection:
        await api.resources.triggers.refresh(connection)
    await event(api, "before", datetime.now(UTC))
    assert await planned(api) == 0
    other = await api.key("sk", "admin")
    approved = await api.post("/v1/campaigns/later/approve", headers=other)
    assert (approved.status_code, approved.json()["status"]) == (200, "active"), approved.text
    async with api.resources.pool.acquire() as connection:
        await api.resources.triggers.refresh(connection)
    await event(api, "after", datetime.now(UTC))
    assert await planned(api) == 1
    assert (await api.get("/v1/campaigns/later/outcomes")).json()["states"]["planned"] == 1
