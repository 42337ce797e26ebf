"""What a push hands to the phone: by it a publishable key answers that one decision, and nothing else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from push.drawing.feedback_token import sign
from schema.ids import uuid7
from tests.integration.serving import Api, serving
from tests.integration.test_feedback import INSERT

NOW = datetime.now(UTC)
DECISION = uuid7(NOW - timedelta(hours=1), bytes(10))
OTHER = uuid7(NOW - timedelta(hours=1), bytes([1] * 10))
SIGNER = {"kid": "app", "alg": "HS256", "secret": "a secret of the app's own server, long enough"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        admin = await served.key("sk", "admin")
        assert (await served.put("/v1/identity", json={"mode": "required", "keys": [SIGNER]}, headers=admin)).is_success
        await served.resources.access.load()
        for name in ("ann", "bob"):
            assert (await served.post("/v1/identify", json={"user_id": name}, headers=admin)).is_success
        served.headers.update(await served.key("pk"))
        for decision in (DECISION, OTHER):
            await served.resources.pool.execute(INSERT, await user(served, "ann"), decision, 1)
        yield served


async def user(api: Api, name: str) -> int:
    return int(await api.resources.pool.fetchval("select user_id from identities where external_id = $1", name))


async def token(api: Api, decision: UUID = DECISION, name: str = "ann", hours: int = 72) -> str:
    async with api.resources.pool.acquire() as connection:
        key = await api.resources.feedback_key.of(connection)
    return sign(key, decision, await user(api, name), int((NOW + timedelta(hours=hours)).timestamp()))


async def answer(api: Api, kind: str, decision: UUID = DECISION, **more: Any) -> tuple[int, str]:
    told = await api.post(f"/v1/decisions/{decision}/feedback", json={"type": kind} | more)
    return told.status_code, told.json().get("code", "")


async def test_a_phone_without_a_user_token_answers_its_decision(api: Api) -> None:
    good = await token(api)
    assert await answer(api, "thumbs_down") == (400, "invalid_body")
    assert await answer(api, "thumbs_down", user_id="ann") == (403, "forbidden")
    assert await answer(api, "thumbs_down", feedback_token=good) == (200, "")
    assert await answer(api, "opened", feedback_token=good) == (200, "")
    row = await api.resources.pool.fetchrow("select vetoed_offer_ids from users where external_id = 'ann'")
    assert row["vetoed_offer_ids"] == [11]
    assert await api.resources.pool.fetchval("select count(*) from events") == 2


async def test_forged_void_and_borrowed_tokens_are_refused(api: Api) -> None:
    good = await token(api)
    refused = (403, "invalid_feedback_token")
    forged = f"{good[:10]}{'A' if good[10] != 'A' else 'B'}{good[11:]}"
    for bad in (forged, "nonsense", "", await token(api, hours=-1), await token(api, OTHER)):
        assert await answer(api, "thumbs_up", feedback_token=bad) == refused
    assert await answer(api, "thumbs_up", OTHER, feedback_token=good) == refused
    assert (await answer(api, "thumbs_up", feedback_token=await token(api, name="bob")))[0] == 404
    assert await answer(api, "thumbs_up", feedback_token=good, user_id="ann") == (400, "invalid_field")
    assert await answer(api, "redeemed", feedback_token=good) == (403, "forbidden")
    assert await api.resources.pool.fetchval("select count(*) from events") == 0


async def test_it_finds_who_the_person_became(api: Api) -> None:
    good = await token(api)
    ann, bob = await user(api, "ann"), await user(api, "bob")
    await api.resources.pool.execute("update users set merged_into = $1 where user_id = $2", bob, ann)
    await api.resources.pool.execute("update decisions set user_id = $1 where user_id = $2", bob, ann)
    assert await answer(api, "thumbs_down", feedback_token=good) == (200, "")
    assert await api.resources.pool.fetchval("select vetoed_offer_ids from users where user_id = $1", bob) == [11]
