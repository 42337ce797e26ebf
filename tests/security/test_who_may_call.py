"""Every route by every kind of key: who is not named in the table is refused, before a body or a path is looked at."""

import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import jwt
import pytest_asyncio

from schema.ids import uuid7
from service.guards import SECRET_SCOPES
from service.settings import Secret
from service.store import access, virtual_clock
from tests.contract.test_routes import application
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import NOW, Api, serving
from tests.security.table import PUBLIC, ROUTES, Row, handlers, rows

SIGNER = "the app's server signs by this, 40 chars.."
OTHERS_SIGNER = "somebody else's server signs by that one.."
Headers = dict[str, str]
MEDIA_TYPES = {
    "/v1/offers/imports": "text/csv",
    "/v1/unsubscribe/{token:str}": "text/plain",
}


class Callers(NamedTuple):
    """Headers by what they are called; `nobodies` must be refused with 401 wherever a key is needed."""

    nobodies: dict[str, Headers]
    phones: dict[str, Headers]
    secret: dict[str, Headers]


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, is_virtual_clock=True) as served:
        await virtual_clock.advance(served.resources.pool, NOW)
        async with served.resources.pool.acquire() as connection:
            await decision_world.stock(connection, [offer("milk")], NOW)
        await decision_world.publish(served.resources.pool, NOW)
        await served.resources.snapshot.refresh()
        yield served


def token(subject: str, secret: str = SIGNER, kid: str = "app", alg: str = "HS256", **claims: Any) -> Headers:
    told = {"sub": subject, "exp": int(time.time()) + 600} | claims
    return {"X-User-Token": jwt.encode(told, secret, algorithm=alg, headers={"kid": kid})}


async def revoked(api: Api, kind: Any, *scopes: Any) -> Headers:
    secret = access.new_secret(kind)
    key_id = uuid7(NOW, secret[-10:].encode())
    await access.create_key(api.resources.pool, key_id, kind, scopes, secret=Secret(secret), now=NOW)
    assert await access.revoke_key(api.resources.pool, key_id, NOW)
    return {"Authorization": f"Bearer {secret}"}


async def callers(api: Api) -> Callers:
    admin, phone = await api.key("sk", "admin"), await api.key("pk")
    body = {"mode": "required", "keys": [{"kid": "app", "alg": "HS256", "secret": SIGNER}]}
    assert (await api.put("/v1/identity", json=body, headers=admin)).status_code == 200
    bearer = admin["Authorization"].removeprefix("Bearer ")
    nobodies = {
        "no key": {},
        "not a key": {"Authorization": "Bearer nonsense"},
        "another scheme": {"Authorization": f"Basic {bearer}"},
        "cut": {"Authorization": f"Bearer {bearer[:-1]}"},
        "another installation's": {"Authorization": f"Bearer {access.new_secret('sk')}"},
        "another installation's app": {"Authorization": f"Bearer {access.new_secret('pk')}"} | token("ann"),
        "revoked": await revoked(api, "sk", "admin"),
        "revoked of an app": await revoked(api, "pk") | token("ann"),
        "in a cookie": {"Cookie": f"Authorization=Bearer {bearer}"},
        "in another header": {"X-Api-Key": bearer, "X-Forwarded-For": "127.0.0.1"},
    }
    phones = {
        "expired token": token("ann", exp=int(time.time()) - 60),
        "token of another signer": token("ann", OTHERS_SIGNER),
        "token of an unknown kid": token("ann", kid="other"),
        "unsigned token": token("ann", "", alg="none"),
        "token without an end": token("ann", exp=None),
        "token of nobody": token(""),
        "no token at all": {"X-User-Token": "x"},
    }
    await api.resources.access.load()
    return Callers(
        nobodies,
        {name: phone | headers for name, headers in phones.items()}
        | {"phone": phone, "known phone": phone | token("ann")},
        {scope: await api.key("sk", scope) for scope in sorted(SECRET_SCOPES)},  # type: ignore[arg-type] # a set of str
    )


async def answer_to(api: Api, row: Row, headers: Headers, body: bytes = b"{}") -> tuple[int, str]:
    media_type = MEDIA_TYPES.get(row.template, "application/json")
    content = {"content": body} if row.has_body else {}
    answer = await api.request(row.method, row.path, headers=headers | {"Content-Type": media_type}, **content)
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else ""


def test_the_table_names_every_route_and_nothing_else() -> None:
    served = {
        route: f"pk {handler.opt['sk_scope']}" if handler.opt["scope"] == "sdk" else handler.opt["scope"]
        for route, handler in handlers(application())
    }
    assert served == ROUTES


async def test_nobody_and_no_good_key_comes_in_anywhere(api: Api) -> None:
    known = await callers(api)
    for name, headers in known.nobodies.items():  # outside: an unknown secret is remembered until another one comes
        for row in rows():
            if row.needs != PUBLIC:
                assert await answer_to(api, row, headers) == (401, "unauthenticated"), (row, name)
    for row in rows():
        if row.needs == PUBLIC:
            assert (await answer_to(api, row, {}))[0] in {200, 404}, row


async def test_an_app_s_key_opens_its_own_routes_only_and_with_a_bad_token_none(api: Api) -> None:
    known = await callers(api)
    for row in rows():
        for name, headers in known.phones.items():
            if row.needs == PUBLIC:
                continue
            told = await answer_to(api, row, headers)
            if not row.is_for_apps:
                assert told == (403, "forbidden"), (row, name)
            elif "token" in name:
                assert told == (401, "unauthenticated"), (row, name)
            else:
                assert told[0] != 401, (row, name)
                assert told[0] < 500, (row, name)


async def test_a_secret_key_opens_what_its_scope_names_and_nothing_in_a_browser(api: Api) -> None:
    known = await callers(api)
    for row in rows():
        if row.needs == PUBLIC:
            continue
        for scope, headers in known.secret.items():
            told = await answer_to(api, row, headers)
            if scope in {row.needs, "admin"}:
                assert told[0] < 500, (row, scope)
                assert told[0] not in {401, 403, 405, 415}, (row, scope, told)
            else:
                assert told == (403, "forbidden"), (row, scope)
        browser = known.secret["admin"] | {"Origin": "https://shop.example"}
        assert await answer_to(api, row, browser) == (403, "forbidden"), row


async def test_who_may_not_is_refused_before_the_body_is_looked_at(api: Api) -> None:
    known = await callers(api)
    for row in rows():
        if row.has_body and row.needs != PUBLIC:
            for body in (b"[" * 20_000, b"\xff", b"x" * 600_000):
                assert (await answer_to(api, row, {}, body))[0] == 401, row
            if row.needs != "ingest":
                assert (await answer_to(api, row, known.secret["ingest"], b"[" * 20_000))[0] == 403, row
