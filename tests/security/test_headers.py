"""Every answer tells browsers and caches what they must not do with it: of every route, error, page and stand-in."""

import httpx
import pytest
from litestar import get

from push.channels.mail.unsubscribe import token_of
from tests.contract.stand_in_server import StandInServer
from tests.integration.serving import serving
from tests.security.table import rows

CACHED_BY_THE_PHONE = {"/v1/inbox": "private, no-cache"}  # for its ETag; asked anew each time


@get("/probe/broken", opt={"scope": "public"})
async def broken() -> None:
    raise KeyError


def check(answer: httpx.Response, *, is_page: bool = False) -> None:
    headers, path = answer.headers, answer.request.url.path
    assert headers.get_list("x-content-type-options") == ["nosniff"], path
    expected = CACHED_BY_THE_PHONE.get(path, "no-store") if answer.is_success else "no-store"
    assert headers.get_list("cache-control") == [expected], path
    assert headers.get_list("referrer-policy") == ["no-referrer"], path
    (policy,) = headers.get_list("content-security-policy")
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'", path
    assert rules.pop("frame-ancestors") == "'none'", path
    if is_page:
        assert rules.pop("form-action") == "'self'"
        assert rules.pop("style-src").startswith("'sha256-")
    assert rules == {}, path
    assert "access-control-allow-origin" not in headers, path
    assert "set-cookie" not in headers, path


async def test_every_route_and_every_refusal_carries_them(database: str) -> None:
    async with serving(database, broken) as api:
        admin = await api.key("sk", "admin")
        for row in rows():
            content = {"content": b"{}"} if row.has_body else {}
            for headers in ({}, admin):
                answer = await api.request(row.method, row.path, headers=headers, **content)
                check(answer)
        for path in ("/nowhere", "/v1/nowhere", "/", "/probe/broken", "/%00", "/v1/users/%2e%2e/consent"):
            check(await api.get(path, headers=admin))
        check(await api.request("TRACE", "/v1/keys", headers=admin))
        check(await api.options("/v1/keys", headers={"Origin": "https://evil.example"}))
        check(await api.get("/v1/keys?unknown=1", headers=admin))
        too_large = await api.post("/v1/keys", content=b"x" * 300_000, headers=admin)
        assert too_large.status_code == 413
        check(too_large)


async def test_a_personal_page_is_no_place_for_scripts_and_frames(database: str) -> None:
    async with serving(database) as api:
        person = await api.post("/v1/identify", json={"user_id": "ann"}, headers=await api.key("sk", "users"))
        assert person.is_success
        async with api.resources.pool.acquire() as connection:
            user_id = await connection.fetchval("select user_id from users")
            path = f"/v1/unsubscribe/{token_of(await api.resources.unsubscribe_key.of(connection), user_id)}"
        for answer in (await api.get(path), await api.post(path)):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/html")
            check(answer, is_page=True)
            assert "style=" not in answer.text  # its policy allows one style element, by hash


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_where_the_way_is_encrypted_it_stays_so(database: str, scheme: str) -> None:
    async with serving(database) as api:
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"{scheme}://welltimed.test") as client:
            for path in ("/livez", "/nowhere", "/v1/keys"):
                told = (await client.get(path)).headers.get_list("strict-transport-security")
                assert told == (["max-age=31536000"] if scheme == "https" else [])


async def test_a_proxy_tells_that_the_way_is_encrypted(database: str) -> None:
    """As the server of the role is set up: from this machine X-Forwarded-Proto is believed."""
    async with serving(database) as api:
        answer = await api.get("/livez", headers={"X-Forwarded-Proto": "https"})
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_the_stand_in_carries_them_too() -> None:
    with StandInServer() as stand_in, httpx.Client(base_url=stand_in.plain_url, trust_env=False) as client:
        for path in ("/inbox", "/counters", "/faults", "/nowhere", "/v1/projects/x/messages:send"):
            check(client.get(path))
