"""Whom an API worker lets in: not more than it can answer soon, nobody too often, and those who watch over it always."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
import pytest

from schema.access import KeyKind, Scope
from schema.ids import uuid7
from service.admission import IN_FLIGHT_MIN
from service.api_role import api_server
from service.connection import Connection
from service.http_server import ApiServer
from service.resources import Resources
from service.settings import Secret, Settings, SettingsError, load
from service.store import access

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
PATIENCE_S = 60
TOKEN_KEY = "user-token-key-of-thirty-two-bytes"


class Worker(httpx.AsyncClient):
    """A client of one running API worker, whole but for its process."""

    def __init__(self, resources: Resources, server: ApiServer, port: int) -> None:
        limits = httpx.Limits(max_connections=500)
        super().__init__(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S, limits=limits)
        self.resources = resources
        self.server = server
        self.port = port

    async def key(self, kind: KeyKind, *scopes: Scope) -> dict[str, str]:
        """The headers of a new key."""
        secret = access.new_secret(kind)
        key_id = uuid7(NOW, secret[-10:].encode())
        await access.create_key(self.resources.pool, key_id, kind, scopes, secret=Secret(secret), now=NOW)
        await self.resources.access.reload()
        return {"Authorization": f"Bearer {secret}"}


@asynccontextmanager
async def working(dsn: str, **settings: Any) -> AsyncIterator[Worker]:
    resources = Resources(Settings(data_dir=Path("/nonexistent"), pool_max=4, **settings), dsn)
    server = api_server(resources)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        try:
            async with Worker(resources, server, listener.getsockname()[1]) as worker:
                yield worker
        finally:
            server.should_exit = True
            await running


def check_refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["cache-control"] == "no-store"
    problem: dict[str, Any] = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def body_of(number: int) -> dict[str, Any]:
    event = {"event_id": f"e-{number}", "type": "app_open", "user_id": "ann", "occurred_at": NOW.isoformat()}
    return {"sent_at": NOW.isoformat(), "batch": [event]}


@asynccontextmanager
async def held_up(dsn: str) -> AsyncIterator[None]:
    """Nobody can write events meanwhile."""
    connection = await asyncpg.connect(dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("lock table events in access exclusive mode")
        yield
    finally:
        await transaction.rollback()
        await connection.close()


async def test_more_than_can_be_answered_soon_is_refused_at_once_and_what_is_let_in_is_done(database: str) -> None:
    async with working(database) as worker:
        key = await worker.key("sk", "ingest")
        bound = worker.server.config.app._hot["/v1/events"]
        bound._limit = IN_FLIGHT_MIN
        async with held_up(database):
            asked = [
                asyncio.create_task(worker.post("/v1/events", json=body_of(number), headers=key))
                for number in range(2 * IN_FLIGHT_MIN)
            ]
            async with asyncio.timeout(PATIENCE_S):
                while sum(each.done() for each in asked) < IN_FLIGHT_MIN:
                    await asyncio.sleep(0.01)
            problem = check_refused(await worker.post("/v1/events", json=body_of(-1), headers=key), 503, "overloaded")
            assert "events" in problem["detail"]
            assert (await worker.get("/livez")).status_code == 200
            assert b"overload_of_events" in (await worker.get("/metrics")).content
            # Other calls are not refused for it, and this one before its body has come.
            assert (await worker.get("/v1/offers", headers=key)).status_code == 403
            assert await _answer_to_a_head(worker, "/v1/events", key) == b"HTTP/1.1 503 Service Unavailable"
            assert bound.in_flight == IN_FLIGHT_MIN
        answers = await asyncio.gather(*asked)
        taken = [answer for answer in answers if answer.status_code == 200]
        assert len(taken) == IN_FLIGHT_MIN
        for answer in answers:
            if answer.status_code != 200:
                check_refused(answer, 503, "overloaded")
        assert await worker.resources.pool.fetchval("select count(*) from events") == IN_FLIGHT_MIN
        assert bound.in_flight == 0


async def _answer_to_a_head(worker: Worker, path: str, key: dict[str, str]) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {key['Authorization']}\r\n"
        "content-type: application/json\r\ncontent-length: 500000\r\n\r\n".encode()
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            return (await reader.readline()).rstrip()
    finally:
        writer.transport.abort()


async def test_half_a_body_takes_no_place(database: str) -> None:
    async with working(database) as worker:
        key = await worker.key("sk", "ingest")
        head = (
            f"POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: {key['Authorization']}\r\n"
            "content-type: application/json\r\ncontent-length: 500\r\n\r\n{"
        ).encode()
        lane = worker.server.config.app._hot["/v1/events"]
        lane._limit = 1
        half: list[asyncio.StreamWriter] = []
        for number in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", worker.port)
            half.append(writer)
            writer.write(head)
            async with asyncio.timeout(PATIENCE_S):
                while unfinished(worker) <= number or lane.in_flight:
                    await asyncio.sleep(0.01)
        for number in range(3):
            answer = await worker.post("/v1/events", json=body_of(number), headers=key)
            assert answer.status_code == 200, answer.text
        for writer in half:
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            while unfinished(worker):
                await asyncio.sleep(0.01)
        assert lane.in_flight == 0


def unfinished(worker: Worker) -> int:
    """Connections on which a body is on its way."""
    return sum(one._is_in_body for one in worker.server._connections._open if isinstance(one, Connection))


async def statuses(worker: Worker, count: int, **headers: str) -> list[int]:
    return [(await worker.get("/v1/offers", headers=headers)).status_code for _ in range(count)]


# Of one request a second for 64 workers this one gives one in 64 s: however slow the machine is, the second is refused.
ONE = {"workers": 64}


async def test_an_address_without_a_key_of_ours_is_limited_behind_proxies_too(database: str) -> None:
    async with working(database, **ONE, rate_limit_address_per_s=1, trusted_proxies="127.0.0.0/8") as worker:
        secret = await worker.key("sk", "offers")
        first, other = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "spoofed, 192.0.2.2"}
        assert await statuses(worker, 2, **first) == [401, 429]
        refused = await worker.get("/nowhere", headers=first)
        assert "RATE_LIMIT_ADDRESS_PER_S" in check_refused(refused, 429, "rate_limited")["detail"]
        # An invented key is none, and what the client itself wrote into the header moves nothing.
        assert await statuses(worker, 1, **first, Authorization="Bearer sk_" + "x" * 40) == [429]
        assert await statuses(worker, 1, **{"X-Forwarded-For": "198.51.100.9, 192.0.2.1"}) == [429]
        assert (await worker.get("/nowhere", headers=other)).status_code == 404
        # A server with its key is not held by what others do at its address, nor is who watches.
        assert await statuses(worker, 3, **first, **secret) == [200] * 3
        assert (await worker.get("/livez", headers=first)).status_code == 200


async def test_who_is_no_proxy_of_ours_cannot_say_who_it_is(database: str) -> None:
    async with working(database, **ONE, rate_limit_address_per_s=1) as worker:
        for number, status in enumerate((401, 429, 429)):
            assert await statuses(worker, 1, **{"X-Forwarded-For": f"192.0.2.{number}"}) == [status]


async def test_a_person_and_a_key_have_limits_of_their_own(database: str) -> None:
    limits = {"rate_limit_user_per_s": 1, "rate_limit_secret_key_per_s": 1, "rate_limit_address_per_s": 0}
    async with working(database, **ONE, **limits) as worker:
        admin, publishable = await worker.key("sk", "admin"), await worker.key("pk")
        keys = [{"kid": "k", "alg": "HS256", "secret": TOKEN_KEY}]
        made = await worker.put("/v1/identity", json={"mode": "required", "keys": keys}, headers=admin)
        assert made.status_code == 200, made.text
        ann, bob = ({**publishable, "X-User-Token": token_of(name)} for name in ("ann", "bob"))
        assert [await asked_for(worker, "ann", ann) for _ in range(2)] == [404, 429]
        refused = await worker.get("/v1/users/ann/preferences", headers=ann)
        assert "RATE_LIMIT_USER_PER_S" in check_refused(refused, 429, "rate_limited")["detail"]
        assert await asked_for(worker, "bob", bob) == 404
        # A name in a path, a body or a query uses up nobody's bucket.
        assert [await asked_for(worker, "eve", publishable) for _ in range(3)] == [403] * 3
        other = await worker.key("sk", "offers")
        assert await statuses(worker, 2, **other) == [200, 429]
        refused = await worker.get("/v1/offers", headers=admin)
        assert "RATE_LIMIT_SECRET_KEY_PER_S" in check_refused(refused, 429, "rate_limited")["detail"]


async def asked_for(worker: Worker, name: str, headers: dict[str, str]) -> int:
    return (await worker.get(f"/v1/users/{name}/preferences", headers=headers)).status_code


def token_of(user_id: str) -> str:
    claims = {"sub": user_id, "exp": int(datetime.now(UTC).timestamp()) + 600}
    return jwt.encode(claims, TOKEN_KEY, algorithm="HS256", headers={"kid": "k"})


async def test_in_virtual_time_nobody_is_limited(database: str) -> None:
    async with working(database, **ONE, rate_limit_address_per_s=1, is_virtual_clock=True) as worker:
        assert await statuses(worker, 3) == [401] * 3


async def test_who_asks_for_readiness_is_told_of_the_end_before_the_door_closes(database: str) -> None:
    async with working(database, drain_s=PATIENCE_S) as worker:
        worker.server.should_exit = True
        told: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE_S):
            while told.get("running") != "it stops":
                answer = await worker.get("/readyz")
                told = answer.json()["checks"]
        worker.server.end_drain()
        assert told["running"] == "it stops"
        assert answer.status_code == 503
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "nginx", "10.0.0.1/8"])
def test_networks_that_cannot_be_read_are_refused_at_start(text: str) -> None:
    with pytest.raises(SettingsError, match="WELLTIMED_TRUSTED_PROXIES"):
        load({"WELLTIMED_TRUSTED_PROXIES": text})
