import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import jwt
import pytest
from litestar import Request, get, post

from service.errors import ApiError
from service.guards import Principal
from service.settings import Secret
from service.store import access, access_cache
from service.store.access_cache import AccessCache
from service.store.pool import open_pool
from tests.integration.serving import NOW, Api, serving

SECRET = "s" * 40


@get("/probe/sdk", opt={"scope": "sdk", "sk_scope": "ingest"})
async def sdk_probe(request: Request[Any, Any, Any]) -> dict[str, str | None]:
    principal: Principal = request.scope["state"]["principal"]
    return {"kind": principal.kind, "user": principal.user_external_id}


@post("/probe/offers", opt={"scope": "offers"}, status_code=200)
async def offers_probe() -> None: ...


def user_token(sub: str, secret: str = SECRET, kid: str = "one") -> dict[str, str]:
    claims = {"sub": sub, "exp": time.time() + 600}
    return {"X-User-Token": jwt.encode(claims, secret, algorithm="HS256", headers={"kid": kid})}


async def identity(api: Api, admin: dict[str, str], mode: str) -> None:
    body = {"mode": mode, "keys": [{"kid": "one", "alg": "HS256", "secret": SECRET}]}
    assert (await api.put("/v1/identity", json=body, headers=admin)).status_code == 200


async def test_a_key_is_made_once_shown_once_and_revoked(database: str) -> None:
    async with serving(database, offers_probe) as api:
        admin = await api.key("sk", "admin")
        made = await api.post("/v1/keys", json={"kind": "sk", "scopes": ["offers", "offers"]}, headers=admin)
        assert made.status_code == 201
        key = made.json()
        assert key["secret"].startswith("sk_")
        assert len(key["secret"]) >= 46
        assert key["scopes"] == ["offers"]
        bearer = {"Authorization": f"bearer {key['secret']}"}
        assert (await api.post("/probe/offers", headers=bearer)).status_code == 200
        listed = (await api.get("/v1/keys", headers=admin)).json()["data"]
        assert [row["key_id"] for row in listed if row["prefix"] == key["prefix"]] == [key["key_id"]]
        assert all("secret" not in row for row in listed)
        assert (await api.delete(f"/v1/keys/{key['key_id']}", headers=admin)).status_code == 204
        assert (await api.delete(f"/v1/keys/{key['key_id']}", headers=admin)).status_code == 204
        assert (await api.post("/probe/offers", headers=bearer)).status_code == 401
        unknown = await api.delete("/v1/keys/00000000-0000-0000-0000-000000000000", headers=admin)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_the_last_admin_key_stays(database: str) -> None:
    async with serving(database) as api:
        first = await api.key("sk", "admin")
        await api.key("sk", "offers", "users")
        one = (await api.get("/v1/keys", headers=first)).json()["data"]
        (own,) = [key["key_id"] for key in one if "admin" in key["scopes"]]
        last = await api.delete(f"/v1/keys/{own}", headers=first)
        assert (last.status_code, last.json()["code"]) == (409, "conflict")
        made = (await api.post("/v1/keys", json={"kind": "sk", "scopes": ["admin"]}, headers=first)).json()
        second = {"Authorization": f"Bearer {made['secret']}"}
        # Both at once: whoever comes second is the last.
        answers = await asyncio.gather(
            api.delete(f"/v1/keys/{own}", headers=second), api.delete(f"/v1/keys/{made['key_id']}", headers=first)
        )
        assert sorted(answer.status_code for answer in answers) in ([204, 409], [204, 401])


@pytest.mark.parametrize(
    "body", [{"kind": "sk"}, {"kind": "pk", "scopes": ["admin"]}, {"kind": "sk", "scopes": ["all"]}, {}]
)
async def test_a_key_without_sense_is_refused(database: str, body: dict[str, Any]) -> None:
    async with serving(database) as api:
        assert (await api.post("/v1/keys", json=body, headers=await api.key("sk", "admin"))).status_code == 400


async def test_a_repeated_creation_makes_one_key_and_keeps_no_secret(database: str) -> None:
    async with serving(database) as api:
        headers = await api.key("sk", "admin") | {"Idempotency-Key": "k1"}
        body = {"kind": "pk"}
        first = await api.post("/v1/keys", json=body, headers=headers)
        again = await api.post("/v1/keys", json=body, headers=headers)
        assert again.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in first.headers
        assert again.status_code == 201
        assert again.json() == first.json() | {"secret": None}
        kept = await api.resources.pool.fetchval("select convert_from(answer, 'utf8') from idempotency_keys")
        assert first.json()["secret"] not in kept


async def test_scopes_and_kinds_open_only_their_own_doors(database: str) -> None:
    async with serving(database, sdk_probe, offers_probe) as api:
        pk, ingest, admin = await api.key("pk"), await api.key("sk", "ingest"), await api.key("sk", "admin")
        offers = await api.key("sk", "offers")
        sdk = [
            (await api.get("/probe/sdk", headers=headers)).status_code for headers in ({}, pk, ingest, admin, offers)
        ]
        assert sdk == [401, 200, 200, 200, 403]
        found = [
            (await api.post("/probe/offers", headers=headers)).status_code
            for headers in ({}, pk, ingest, admin, offers)
        ]
        assert found == [401, 403, 403, 200, 200]
        browser = {"Origin": "https://shop.example"}
        assert (await api.get("/probe/sdk", headers=pk | browser)).status_code == 200
        assert (await api.get("/probe/sdk", headers=ingest | browser)).status_code == 403


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic eDp5", "Bearer xx_1", "Bearer sk_", "Bearer sk_" + "x" * 400, "Bearer pk_é"]
)
async def test_what_is_no_key_is_refused(database: str, header: str) -> None:
    async with serving(database, sdk_probe) as api:
        answer = await api.get("/probe/sdk", headers={"Authorization": header.encode()})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_user_token_is_believed_only_when_signed_by_a_known_key(database: str) -> None:
    async with serving(database, sdk_probe) as api:
        admin, pk = await api.key("sk", "admin"), await api.key("pk")
        await identity(api, admin, "required")
        good = await api.get("/probe/sdk", headers=pk | user_token("ann"))
        assert good.json() == {"kind": "pk", "user": "ann"}
        assert (await api.get("/probe/sdk", headers=pk)).json()["user"] is None
        assert (await api.get("/probe/sdk", headers=pk | user_token("ann", "t" * 40))).status_code == 401
        assert (await api.get("/probe/sdk", headers=pk | user_token("ann", kid="two"))).status_code == 401
        assert (await api.put("/v1/identity", json={"mode": "required"}, headers=admin)).status_code == 200
        assert (await api.get("/probe/sdk", headers=pk | user_token("ann"))).status_code == 401
        await identity(api, admin, "disabled")
        assert (await api.get("/probe/sdk", headers=pk | user_token("ann", "t" * 40))).json()["user"] is None


async def test_identity_never_shows_a_secret_and_keeps_it_when_put_back(database: str) -> None:
    async with serving(database, sdk_probe) as api:
        admin, pk = await api.key("sk", "admin"), await api.key("pk")
        await identity(api, admin, "optional")
        shown = (await api.get("/v1/identity", headers=admin)).json()
        assert shown == {"mode": "optional", "keys": [{"kid": "one", "alg": "HS256"}]}
        assert (await api.put("/v1/identity", json=shown, headers=admin)).json() == shown
        assert (await api.get("/probe/sdk", headers=pk | user_token("ann"))).json()["user"] == "ann"
        renamed = {"mode": "optional", "keys": [{"kid": "two", "alg": "HS256"}]}
        refused = await api.put("/v1/identity", json=renamed, headers=admin)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/keys/0")
        twice = {"mode": "optional", "keys": [{"kid": "one", "alg": "HS256"}] * 2}
        assert (await api.put("/v1/identity", json=twice, headers=admin)).status_code == 400


async def test_another_worker_learns_of_new_and_revoked_keys_in_time(database: str) -> None:
    pool = await open_pool(database, 2)
    try:
        cache = AccessCache(pool)
        await cache.load()
        secret = access.new_secret("sk")
        assert await cache.key_of(secret) is None
        await asyncio.sleep(access_cache.REFRESH_S + 0.05)  # what was unknown is asked for again
        await access.ensure_bootstrap_key(pool, Secret(secret), NOW)
        key = await cache.key_of(secret)
        assert key is not None
        assert key.scopes == {"admin"}
        fresh = access.new_secret("pk")
        await access.create_key(pool, access.uuid7(NOW, b"0123456789"), "pk", [], secret=Secret(fresh), now=NOW)
        assert await cache.key_of(fresh) is not None
        await access.revoke_key(pool, key.key_id, NOW)
        await asyncio.sleep(access_cache.REFRESH_S + 0.05)
        assert await cache.key_of(secret) is None
    finally:
        await pool.close()


@asynccontextmanager
async def one_caller(database: str) -> AsyncIterator[tuple[asyncpg.Pool, AccessCache, str]]:
    """A cache that has been read and a key that has called."""
    pool = await open_pool(database, 2)
    try:
        secret = access.new_secret("sk")
        await access.ensure_bootstrap_key(pool, Secret(secret), NOW)
        cache = AccessCache(pool)
        await cache.load()
        assert await cache.key_of(secret) is not None
        yield pool, cache, secret
    finally:
        await pool.close()


async def test_who_calls_while_keys_are_read_waits_for_that_reading_alone(database: str) -> None:
    """Of those who came during it each waited for a tenth of a second and another one, every two seconds."""
    async with one_caller(database) as (_, cache, secret):
        cache._due_at = 0.0
        async with asyncio.TaskGroup() as group, unreadable(database, "api_keys"):
            asked = [group.create_task(cache.key_of(secret))]
            await asyncio.sleep(0.05)
            tried_at = cache._tried_at
            asked += [group.create_task(cache.key_of(secret)) for _ in range(3)]
            await asyncio.sleep(0.05)
        assert all(task.result() is not None for task in asked)
        assert cache._tried_at == tried_at


async def test_keys_are_read_ahead_while_somebody_calls_and_nobody_waits(database: str) -> None:
    async with one_caller(database) as (pool, cache, secret):
        other, key_id = access.new_secret("sk"), access.uuid7(NOW, b"0123456789")
        await access.create_key(pool, key_id, "sk", ["offers"], secret=Secret(other), now=NOW)
        assert await cache.key_of(other) is not None
        await access.revoke_key(pool, key_id, NOW)
        waits, revoked_at, began = 0, None, time.monotonic()
        while time.monotonic() - began < 2 * access_cache.REFRESH_S + 0.5:
            waits += cache.known(secret) is None
            if revoked_at is None and cache.known(other) is None:
                revoked_at = time.monotonic() - began
            await asyncio.sleep(0.01)
        assert waits == 0
        assert revoked_at is not None
        assert revoked_at < access_cache.REFRESH_S


async def test_a_reading_ahead_that_fails_leaves_what_was_read(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_cache, "READ_TIMEOUT_S", 0.05)
    async with one_caller(database) as (_, cache, secret):
        async with unreadable(database, "api_keys"):
            cache._due_at = time.monotonic() + access_cache.AHEAD_S / 2
            assert cache.known(secret) is not None
            reading = cache._reading
            assert cache.known(secret) is not None
            assert cache._reading is reading
            await asyncio.sleep(0.3)
        assert cache.known(secret) is not None
        assert cache._due_at > time.monotonic() + access_cache.AHEAD_S
        async with unreadable(database, "api_keys"):
            cache._due_at = time.monotonic() + access_cache.AHEAD_S / 2
            assert cache.known(secret) is not None
            await cache.close()
        assert cache._reading is not None
        assert cache._reading.cancelled()


async def test_who_calls_all_the_time_is_not_known_for_longer_than_an_outage_may_last(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading ahead that fails lets what was read stand for a while longer: a key that was revoked must not work for ever."""
    monkeypatch.setattr(access_cache, "READ_TIMEOUT_S", 0.05)
    async with one_caller(database) as (_, cache, secret):
        async with unreadable(database, "api_keys"):
            cache._read_at -= access_cache.OUTAGE_S
            cache._due_at = time.monotonic() + access_cache.AHEAD_S / 2
            assert cache.known(secret) is not None
            await asyncio.sleep(0.3)
            assert cache.known(secret) is None
            with pytest.raises(ApiError) as refused:
                await cache.key_of(secret)
            assert refused.value.status == 503
        assert await cache.key_of(secret) is not None


async def test_the_first_reading_waits_for_a_busy_database(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_cache, "READ_TIMEOUT_S", 0.05)
    pool = await open_pool(database, 2)
    try:
        async with pool.acquire() as busy, asyncio.TaskGroup() as group:
            transaction = busy.transaction()
            await transaction.start()
            await busy.execute("lock table api_keys in access exclusive mode")
            loading = group.create_task(AccessCache(pool).load())
            await asyncio.sleep(0.3)
            assert not loading.done()
            await transaction.rollback()
    finally:
        await pool.close()


async def test_unknown_secrets_cost_few_readings_and_bounded_memory(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_cache, "UNKNOWN_MAX", 8)
    pool = await open_pool(database, 2)
    readings = 0
    real = access.active_keys

    async def counted(connection: Any) -> Any:
        nonlocal readings
        readings += 1
        return await real(connection)

    monkeypatch.setattr(access, "active_keys", counted)
    try:
        cache = AccessCache(pool)
        await cache.load()
        found = await asyncio.gather(*(cache.key_of(f"sk_{number}") for number in range(300)))
        assert found == [None] * 300
        assert readings <= 3
        assert len(cache._unknown) <= 8
    finally:
        await pool.close()


async def test_known_keys_outlive_an_outage_and_unknown_ones_are_not_judged(database: str) -> None:
    async with serving(database, sdk_probe) as api:
        pk = await api.key("pk")
        assert (await api.get("/probe/sdk", headers=pk)).status_code == 200
        await api.resources._own_pool.close()
        cache = api.resources.access
        cache._due_at = 0.0
        assert (await api.get("/probe/sdk", headers=pk)).status_code == 200
        other = await api.get("/probe/sdk", headers={"Authorization": "Bearer sk_neverseenbefore0000000000"})
        assert (other.status_code, other.json()["code"], other.headers["retry-after"]) == (503, "unavailable", "1")
        cache._due_at, cache._read_at = 0.0, cache._read_at - access_cache.OUTAGE_S - 1
        assert (await api.get("/probe/sdk", headers=pk)).status_code == 503


async def test_the_bootstrap_key_is_made_once_and_stays_revoked(database: str) -> None:
    pool = await open_pool(database, 4)
    try:
        secret = Secret("sk_" + "b" * 30)
        await asyncio.gather(*(access.ensure_bootstrap_key(pool, secret, NOW) for _ in range(4)))
        (key,) = await access.list_keys(pool)
        await access.revoke_key(pool, key.key_id, NOW)
        await access.ensure_bootstrap_key(pool, secret, NOW)
        assert await access.active_keys(pool) == {}
        stored = await pool.fetchrow("select api_keys::text from api_keys")
        assert "bbbbbbbbb" not in stored[0]
    finally:
        await pool.close()


@asynccontextmanager
async def unreadable(database: str, table: str) -> AsyncIterator[None]:
    """Holds a table back from everybody: to the cache, which waits a second, as if PostgreSQL did not answer."""
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"lock table {table} in access exclusive mode")
    try:
        yield
    finally:
        await transaction.rollback()
        await other.close()


async def test_a_key_is_not_lost_to_its_maker_when_the_cache_cannot_be_read_anew(database: str) -> None:
    async with serving(database, offers_probe) as api:
        admin = await api.key("sk", "admin")
        assert (await api.post("/probe/offers", headers=admin)).status_code == 200
        async with unreadable(database, "identity_settings"):
            made = await api.post("/v1/keys", json={"kind": "sk", "scopes": ["offers"]}, headers=admin)
        assert made.status_code == 201
        bearer = {"Authorization": f"Bearer {made.json()['secret']}"}
        assert (await api.post("/probe/offers", headers=bearer)).status_code == 200
        async with unreadable(database, "identity_settings"):
            revoked = await api.delete(f"/v1/keys/{made.json()['key_id']}", headers=admin)
        assert revoked.status_code == 204
        assert (await api.post("/probe/offers", headers=bearer)).status_code == 401


async def test_identity_settings_hold_when_the_cache_cannot_be_read_anew(database: str) -> None:
    async with serving(database, sdk_probe) as api:
        admin, pk = await api.key("sk", "admin"), await api.key("pk")
        assert (await api.get("/probe/sdk", headers=pk | user_token("ann"))).status_code == 401
        async with unreadable(database, "api_keys"):
            await identity(api, admin, "required")
        assert (await api.get("/probe/sdk", headers=pk | user_token("ann"))).json()["user"] == "ann"
