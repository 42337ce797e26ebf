"""Ann's phone at every route of apps, with Bob's ids: 403 or 404, nothing of Bob told, nothing of Bob changed.

An installation serves one brand and holds no projects; a key of another installation is one more unknown key (test_who_may_call.py).
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import httpx
import pytest_asyncio

from push.drawing.feedback_token import sign
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import Api, serving
from tests.security.table import rows
from tests.security.test_who_may_call import SIGNER, token

SECRETS: Final = ("bobs-trait-canary", "bobs-device-address", "bob.canary", "@bobs.example", "bobs-vetoed-offer")
NOBODY: Final = "00000000-0000-7000-8000-000000000001"
TABLES: Final = [
    "users",
    "identities",
    "devices",
    "email_addresses",
    "events",
    "decisions",
    "user_state",
    "contacts",
    "inbox_items",
    "reservations",
    "outbox",
]


class Ids(NamedTuple):
    """What names a person and their things."""

    user: str
    anonymous: str
    device: str
    decision: str


class Attack(NamedTuple):
    """A request of Ann's that names something of Bob's."""

    path: str
    body: dict[str, Any] | None = None
    query: dict[str, str] = {}  # noqa: RUF012 # a NamedTuple, never changed


def _event(**who: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"sent_at": now, "batch": [{"event_id": "e", "type": "app_open", "occurred_at": now} | who]}


_DEVICE: Final = {"token": "anns-address", "platform": "ios"}
_ZONE: Final = {"locale": "de"}
_WORDS: Final = {"type": "thumbs_down"}

# Of each route, every place that can name a person or a thing of theirs.
ATTACKS: Final[dict[tuple[str, str], Callable[[Ids], list[Attack]]]] = {
    ("POST", "/v1/events"): lambda ids: [
        Attack("/v1/events", _event(user_id=ids.user)),
        Attack("/v1/events", _event(anonymous_id=ids.anonymous)),
    ],
    ("POST", "/v1/decisions/{decision_id:uuid}/feedback"): lambda ids: [
        Attack(f"/v1/decisions/{ids.decision}/feedback", _WORDS),
        Attack(f"/v1/decisions/{ids.decision}/feedback", _WORDS | {"user_id": "ann"}),
        Attack(f"/v1/decisions/{ids.decision}/feedback", _WORDS | {"user_id": ids.user}),
        Attack(f"/v1/decisions/{ids.decision}/feedback", _WORDS | {"anonymous_id": ids.anonymous}),
        Attack(f"/v1/decisions/{ids.decision}/feedback", _WORDS | {"feedback_token": "A" * 40}),
    ],
    ("POST", "/v1/decisions"): lambda ids: [
        Attack("/v1/decisions", {"user_id": ids.user}),
        Attack("/v1/decisions", {"anonymous_id": ids.anonymous}),
        Attack("/v1/decisions", {"user_id": ids.user, "anonymous_id": ids.anonymous}),
    ],
    ("GET", "/v1/decisions/{decision_id:uuid}"): lambda ids: _about_a_decision(ids, ""),
    ("GET", "/v1/decisions/{decision_id:uuid}/explanation"): lambda ids: _about_a_decision(ids, "/explanation"),
    ("GET", "/v1/inbox"): lambda ids: [
        Attack("/v1/inbox", query={"user_id": ids.user}),
        Attack("/v1/inbox", query={"anonymous_id": ids.anonymous}),
    ],
    ("POST", "/v1/identify"): lambda ids: [
        Attack("/v1/identify", _ZONE | {"user_id": ids.user}),
        Attack("/v1/identify", _ZONE | {"anonymous_id": ids.anonymous}),
        Attack("/v1/identify", _ZONE | {"user_id": "ann", "anonymous_id": ids.anonymous}),
    ],
    ("PUT", "/v1/devices/{device_id:str}"): lambda ids: [
        Attack(f"/v1/devices/{ids.device}", _DEVICE | {"user_id": ids.user}),
        Attack("/v1/devices/another", _DEVICE | {"user_id": ids.user}),
    ],
    ("DELETE", "/v1/devices/{device_id:str}"): lambda ids: [
        Attack(f"/v1/devices/{ids.device}"),
        Attack(f"/v1/devices/{ids.device}", query={"user_id": "ann"}),
        Attack(f"/v1/devices/{ids.device}", query={"user_id": ids.user}),
    ],
    ("GET", "/v1/users/{user_id:str}/consent"): lambda ids: [Attack(f"/v1/users/{ids.user}/consent")],
    ("PATCH", "/v1/users/{user_id:str}/consent"): lambda ids: [
        Attack(f"/v1/users/{ids.user}/consent", {"push": False})
    ],
    ("GET", "/v1/users/{user_id:str}/preferences"): lambda ids: [Attack(f"/v1/users/{ids.user}/preferences")],
    ("PATCH", "/v1/users/{user_id:str}/preferences"): lambda ids: [
        Attack(f"/v1/users/{ids.user}/preferences", {"muted_until": None})
    ],
    ("GET", "/v1/users/{user_id:str}/email"): lambda ids: [Attack(f"/v1/users/{ids.user}/email")],
    ("PUT", "/v1/users/{user_id:str}/email"): lambda ids: [
        Attack(f"/v1/users/{ids.user}/email", {"address": "ann@example.com"})
    ],
    ("DELETE", "/v1/users/{user_id:str}/email"): lambda ids: [Attack(f"/v1/users/{ids.user}/email")],
}


def _about_a_decision(ids: Ids, what: str) -> list[Attack]:
    path = f"/v1/decisions/{ids.decision}{what}"
    queries: list[dict[str, str]] = [{}, {"user_id": "ann"}, {"user_id": ids.user}, {"anonymous_id": ids.anonymous}]
    return [Attack(path, query=query) for query in queries]


class World(NamedTuple):
    """A running service that Ann's phone calls, and what is Bob's there."""

    api: Api
    ann: dict[str, str]
    bob: Ids


@pytest_asyncio.fixture
async def world(database: str) -> AsyncIterator[World]:
    async with serving(database) as api:
        admin = await api.key("sk", "admin")
        now = datetime.now(UTC)
        async with api.resources.pool.acquire() as connection:
            shelf = [offer("bobs-vetoed-offer", ["tea"]), offer("milk"), offer("bread", ["bread"])]
            await decision_world.stock(connection, shelf, now)
        await decision_world.publish(api.resources.pool, now)
        await api.resources.snapshot.refresh()
        signer = {"mode": "required", "keys": [{"kid": "app", "alg": "HS256", "secret": SIGNER}]}
        assert (await api.put("/v1/identity", json=signer, headers=admin)).is_success

        async def told(method: str, path: str, **body: Any) -> Any:
            answer = await api.request(method, path, json=body, headers=admin)
            assert answer.is_success, answer.text
            return answer.json()

        for name in ("ann", "bob"):
            await told(
                "POST",
                "/v1/identify",
                user_id=name,
                anonymous_id=f"{name}s-phone",
                traits={"t": f"{name}s-trait-canary"},
            )
            await told(
                "PUT", f"/v1/devices/{name}s-device", user_id=name, token=f"{name}s-device-address", platform="ios"
            )
            await told("PUT", f"/v1/users/{name}/email", address=f"{name}.canary@{name}s.example")
        await told("PATCH", "/v1/users/bob/preferences", add_vetoes=["bobs-vetoed-offer"])
        decision = (await told("POST", "/v1/decisions", user_id="bob"))["decision_id"]
        yield World(api, await api.key("pk") | token("ann"), Ids("bob", "bobs-phone", "bobs-device", decision))


async def ask(world: World, method: str, attack: Attack) -> httpx.Response:
    return await world.api.request(method, attack.path, params=attack.query, json=attack.body, headers=world.ann)


async def rows_of_bob(world: World) -> str:
    """All that is stored of Bob."""
    pool = world.api.resources.pool
    user_id = await pool.fetchval("select user_id from users where external_id = 'bob'")
    found = [
        await pool.fetchval(
            f"select coalesce(string_agg(t::text, E'\\n' order by t::text), '') from {table} t where user_id = $1",
            user_id,
        )
        for table in TABLES
    ]
    return "\n".join(found)


def test_every_route_of_apps_is_attacked() -> None:
    assert set(ATTACKS) == {(row.method, row.template) for row in rows() if row.is_for_apps}


async def test_anothers_things_are_neither_told_nor_touched(world: World) -> None:
    before = await rows_of_bob(world)
    assert all(secret in before for secret in SECRETS[:2])
    assert "sealed1." in before  # the e-mail address
    for (method, _), attacks in ATTACKS.items():
        for attack in attacks(world.bob):
            answer = await ask(world, method, attack)
            if attack.path == "/v1/events":
                assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (200, 0, 1), attack
            else:
                assert answer.status_code in {403, 404}, (attack, answer.text)
            assert not [secret for secret in SECRETS if secret in answer.text], attack
    assert await rows_of_bob(world) == before


async def test_whether_somebody_or_something_exists_is_not_told(world: World) -> None:
    nobody = Ids("nobody", "nobodys-phone", "nobodys-device", NOBODY)
    for (method, template), attacks in ATTACKS.items():
        for real, made_up in zip(attacks(world.bob), attacks(nobody), strict=True):
            if "anonymous_id" in str(real):
                continue  # of an anonymous_id that nobody knows a phone may speak: it makes somebody new
            answers = [await ask(world, method, attack) for attack in (real, made_up)]
            told = [(answer.status_code, answer.json() | {"request_id": None}) for answer in answers]
            assert told[0] == told[1], (method, template, real)


async def test_ann_may_do_all_of_that_with_her_own(world: World) -> None:
    """The attacks fail for whose things they name, not for how they are written."""
    answer = await world.api.post("/v1/decisions", json={}, headers=world.ann)
    ann = Ids("ann", "anns-phone", "anns-device", answer.json()["decision_id"])
    last = ("DELETE", "/v1/devices/{device_id:str}")
    for route in sorted(ATTACKS, key=lambda route: route == last):
        for attack in ATTACKS[route](ann):
            if (attack.body or {}).get("feedback_token") is None:
                answer = await ask(world, route[0], attack)
                assert answer.is_success or (route == last and answer.status_code == 404), (attack, answer.text)


async def test_a_feedback_token_speaks_for_its_decision_and_person_only(world: World) -> None:
    own = (await world.api.post("/v1/decisions", json={}, headers=world.ann)).json()["decision_id"]
    async with world.api.resources.pool.acquire() as connection:
        key = await world.api.resources.feedback_key.of(connection)
        user_id = await connection.fetchval("select user_id from users where external_id = 'ann'")
    until = int((datetime.now(UTC) + timedelta(hours=1)).timestamp())
    before = await rows_of_bob(world)
    for signed in (sign(key, uuid.UUID(own), user_id, until), sign(key, uuid.UUID(world.bob.decision), user_id, until)):
        path = f"/v1/decisions/{world.bob.decision}/feedback"
        answer = await ask(world, "POST", Attack(path, _WORDS | {"feedback_token": signed}))
        assert answer.status_code in {403, 404}, answer.text
    assert await rows_of_bob(world) == before


async def test_a_kept_answer_is_given_only_to_whom_it_was_given(world: World) -> None:
    """An Idempotency-Key of Ann's that is Bob's too: the same key and the same request of another person decide anew."""
    phone = {"Authorization": world.ann["Authorization"], "Idempotency-Key": "same"}
    answers = await asyncio.gather(
        *(world.api.post("/v1/decisions", json={}, headers=phone | token(name)) for name in ("ann", "bob"))
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len({answer.json()["decision_id"] for answer in answers}) == 2
