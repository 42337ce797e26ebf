"""Where user tokens are required an anonymous_id speaks for strangers only, and for a known person with that person's token."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest_asyncio

from schema.access import IdentityMode
from service.store import event_log
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import Api, serving

SECRET = "s" * 40
REFUSED = (403, "user_token_required")


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    """Ann is known and has the phone; nobody knows whose the tablet is. Requests carry a secret key unless they bring another."""
    async with serving(database) as running:
        running.headers.update(await running.key("sk", "users", "ingest"))
        async with running.resources.pool.acquire() as connection:
            await decision_world.stock(
                connection, [offer(name, [name]) for name in ("milk", "bread")], datetime.now(UTC)
            )
        await decision_world.publish(running.resources.pool, datetime.now(UTC))
        await running.resources.snapshot.refresh()
        await require_tokens(running, "required")
        await running.post("/v1/identify", json={"user_id": "ann", "anonymous_id": "phone"})
        await running.post("/v1/identify", json={"anonymous_id": "tablet"})
        yield running


async def require_tokens(api: Api, mode: IdentityMode) -> None:
    body = {"mode": mode, "keys": [{"kid": "k", "alg": "HS256", "secret": SECRET}]}
    assert (await api.put("/v1/identity", json=body, headers=await api.key("sk", "admin"))).status_code == 200


def token(person: str) -> dict[str, str]:
    claims = {"sub": person, "exp": int(time.time()) + 600}
    return {"X-User-Token": jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "k"})}


def verdict(response: Any) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


async def everything(api: Api, anonymous_id: str, headers: dict[str, str]) -> set[tuple[int, str]]:
    """What a phone is told that asks, answers, and describes itself."""
    named = {"anonymous_id": anonymous_id}
    decided = (await api.post("/v1/decisions", json=named)).json()["decision_id"]
    path = f"/v1/decisions/{decided}"
    told = [
        await api.post("/v1/decisions", json=named, headers=headers),
        await api.get(f"{path}/explanation", params=named, headers=headers),
        await api.post("/v1/identify", json=named | {"locale": "de"}, headers=headers),
    ]
    feedback = await api.post(f"{path}/feedback", json=named | {"type": "opted_out"}, headers=headers)
    # Somebody of the holdout was offered nothing, and may be told so.
    return {verdict(one) for one in told} | ({(200, "")} if feedback.status_code == 400 else {verdict(feedback)})


async def test_an_anonymous_id_speaks_for_a_known_person_only_with_their_token(api: Api) -> None:
    pk = await api.key("pk")
    decisions = "select count(*) from decisions"
    assert await everything(api, "phone", pk) == {REFUSED}
    assert await everything(api, "phone", pk | token("bob")) == {REFUSED}
    assert await api.resources.pool.fetchval(decisions) == 2, "only those of the secret key"
    row = await api.resources.pool.fetchrow("select * from users where external_id = 'ann'")
    assert (row["locale"], row["opted_out_at"]) == (None, None)
    assert await everything(api, "phone", pk | token("ann")) == {(200, "")}
    assert await everything(api, "tablet", pk) == {(200, "")}
    assert await everything(api, "tablet", pk | token("bob")) == {(200, "")}
    await require_tokens(api, "optional")
    assert await everything(api, "phone", pk) == {(200, "")}


async def test_nobody_takes_over_a_known_persons_phone_with_a_token_of_their_own(api: Api) -> None:
    pk = await api.key("pk")
    query = "select external_id, user_id from identities order by 1"
    before = await api.resources.pool.fetch(query)
    taken = {"user_id": "bob", "anonymous_id": "phone"}
    assert verdict(await api.post("/v1/identify", json=taken, headers=pk | token("bob"))) == REFUSED
    assert await api.resources.pool.fetch(query) == before
    again = {"user_id": "ann", "anonymous_id": "phone"}
    assert (await api.post("/v1/identify", json=again, headers=pk | token("ann"))).status_code == 200
    own = {"user_id": "bob", "anonymous_id": "tablet"}
    assert (await api.post("/v1/identify", json=own, headers=pk | token("bob"))).status_code == 200
    assert (await api.post("/v1/identify", json=taken)).status_code == 200, "a secret key speaks for anyone"


async def test_of_a_batch_of_events_only_those_are_refused_that_speak_for_somebody_known(api: Api) -> None:
    pk, now = await api.key("pk"), datetime.now(UTC).isoformat()

    async def report(headers: dict[str, str], *people: str) -> Any:
        named = [{"user_id" if name == "ann" else "anonymous_id": name} for name in people]
        batch = [{"event_id": f"e{place}", "type": "view", "occurred_at": now} | one for place, one in enumerate(named)]
        return (await api.post("/v1/events", json={"sent_at": now, "batch": batch}, headers=headers)).json()

    told = await report(pk, "tablet", "phone", "ann", "unheard of")
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (2, 0, 2)
    assert [(one["pointer"], one["code"]) for one in told["errors"]] == [
        ("/batch/1/anonymous_id", "user_token_required"),
        ("/batch/2/user_id", "forbidden"),
    ]
    assert await api.resources.pool.fetchval("select count(*) from events") == 2
    async with api.resources.pool.acquire() as connection:
        batches, _ = await event_log.read(connection, dict.fromkeys(range(64), 0))
    assert sum(len(batch.entries) for batch in batches) == 2
    told = await report(pk | token("ann"), "tablet", "phone", "ann")
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (2, 1, 0), "refused, it had claimed no key"
    told = await report({}, "unheard of", "phone")
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (1, 1, 0)


async def test_two_phones_may_use_the_same_idempotency_key(api: Api) -> None:
    keyed = await api.key("pk") | {"Idempotency-Key": "1"}
    for name, is_replay in (("ann", False), ("bob", False), ("bob", True)):
        told = await api.post("/v1/identify", json={"locale": "de"}, headers=keyed | token(name))
        assert (told.status_code, "idempotent-replayed" in told.headers) == (200, is_replay)
    rows = await api.resources.pool.fetch("select external_id from users where locale = 'de' order by 1")
    assert [row[0] for row in rows] == ["ann", "bob"]
