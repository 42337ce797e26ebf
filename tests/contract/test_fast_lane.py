"""The fast lane answers and refuses as the typed controllers do: the same requests through both, compared byte by byte."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import jwt
import pytest
import pytest_asyncio
import uvicorn
from structlog.testing import capture_logs

from service.fast_lane import UNKNOWN_BODY_BYTES_MAX, FastLane
from service.guards import secret_of
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import Api, on_connections, serving

SECRET = "s" * 40
JSON = {"Content-Type": "application/json"}
BOTH = ("/v1/decisions", "/v1/events")
NOW = datetime.now(UTC).isoformat()
EVENT = {"event_id": "e-1", "type": "view", "occurred_at": NOW, "user_id": "ann"}


class Lanes(NamedTuple):
    """The same resources behind the typed controllers alone and behind the fast lane."""

    typed: Api
    fast: httpx.AsyncClient
    secret: dict[str, str]
    publishable: dict[str, str]


@asynccontextmanager
async def listening(app: Any, hot: FastLane) -> AsyncIterator[httpx.AsyncClient]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(on_connections(app, hot, "off"))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
            yield client
        server.should_exit = True
        await running


@pytest_asyncio.fixture
async def lanes(database: str) -> AsyncIterator[Lanes]:
    async with serving(database, fast_lane=False) as typed:
        async with typed.resources.pool.acquire() as connection:
            await decision_world.stock(connection, [offer("milk", ["milk"])], datetime.now(UTC))
        await decision_world.publish(typed.resources.pool, datetime.now(UTC))
        await typed.resources.snapshot.refresh()
        secret = await typed.key("sk", "users", "ingest", "admin")
        async with listening(typed.app, FastLane(typed.resources)) as fast:
            yield Lanes(typed, fast, secret, await typed.key("pk"))


async def sent(client: httpx.AsyncClient, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if isinstance(body, dict) else body()
    return await client.post(path, content=content, headers=JSON | {"X-Request-Id": "mine"} | headers)


def compared(answer: httpx.Response, masked: tuple[str, ...] = ()) -> tuple[int, list[tuple[bytes, bytes]], Any]:
    """Status, headers in order but for the date, and body; with `masked` fields the body's length may differ too."""
    headers = [(name, value) for name, value in answer.headers.raw if name != b"date"]
    if not masked:
        return answer.status_code, headers, answer.content
    body = {name: "…" if name in masked else value for name, value in answer.json().items()}
    return answer.status_code, [each for each in headers if each[0] != b"content-length"], body


async def through_both(lanes: Lanes, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    """Checks that both say the same; gives what they say."""
    typed, fast = await sent(lanes.typed, path, body, headers), await sent(lanes.fast, path, body, headers)
    assert compared(fast) == compared(typed), (path, body)
    return fast


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100_000


HOSTILE: list[tuple[Any, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 400),
    (b"null", 400),
    (b"{}", 400),
    (b"\xff\xfe", 400),
    (b'{"user_id":"\xff\xfe"}', 400),
    (b'{"user_id":"a\\u0000"}', 400),
    (b'{"sent_at":"2026-01-01T00:00:00Z","user_id":"\\ud83d"}', 400),
    (b"[" * 100_000, 400),
    (b'{"context":' + b"[" * 100_000, 400),
    (b'{"batch":[' + b"[" * 100_000, 400),
    ({"user_id": "ann", "sent_at": NOW, "batch": [], "other": 1}, 400),
    ({"user_id": 5, "sent_at": 5, "batch": []}, 400),
    ({"user_id": "ann", "slots": 99, "sent_at": NOW, "batch": [{}] * 501}, 400),
    (b"x" * 600_000, 413),
    (lambda: chunks(7), 413),
]


async def test_bad_bodies_are_refused_alike(lanes: Lanes) -> None:
    for path in BOTH:
        for body, status in HOSTILE:
            answer = await through_both(lanes, path, body, lanes.secret)
            assert answer.status_code == status or (path, answer.status_code) == ("/v1/events", 413), (path, body)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_bad_callers_are_refused_alike(lanes: Lanes) -> None:
    narrow = await lanes.typed.key("sk", "offers")
    many: list[tuple[dict[str, str], int]] = [
        ({}, 401),
        ({"Authorization": "Basic x"}, 401),
        ({"Authorization": "Bearer sk_unknownunknownunknown"}, 401),
        ({"Authorization": "Bearer sk_" + "x" * 300}, 401),
        (narrow, 403),
        (lanes.secret | {"Origin": "https://shop.example"}, 403),
        (lanes.publishable | {"X-User-Token": "not.a.token"}, 401),
        (lanes.secret | {"Content-Type": "text/plain"}, 415),
        (lanes.secret | {"Content-Type": ""}, 415),
        (lanes.secret | {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ]
    for path in BOTH:
        for headers, status in many:
            answer = await through_both(lanes, path, {"user_id": "ann"}, headers)
            assert answer.status_code == status, (path, headers)
            assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_what_is_not_exactly_a_hot_route_is_answered_by_the_other_lane(lanes: Lanes) -> None:
    for path in BOTH:
        for method, target in (("POST", path + "?a=1"), ("GET", path), ("OPTIONS", path), ("POST", path + "/")):
            typed = await lanes.typed.request(method, target, headers=lanes.secret | JSON | {"X-Request-Id": "mine"})
            fast = await lanes.fast.request(method, target, headers=lanes.secret | JSON | {"X-Request-Id": "mine"})
            assert compared(fast) == compared(typed), (method, target)
    assert (await lanes.fast.get("/livez")).status_code == 200


@pytest.mark.parametrize("path", [path.encode() for path in BOTH])
def test_a_body_that_must_be_asked_for_or_is_too_long_goes_the_other_way(path: bytes) -> None:
    lane = FastLane(None)  # type: ignore[arg-type] # nothing is served
    plain = {b"content-length": b"2"}
    assert lane.takes(path, plain)
    for more in ({b"expect": b"100-continue"}, {b"transfer-encoding": b"chunked"}, {b"content-length": b"600000"}):
        assert not lane.takes(path, plain | more)
    assert not lane.takes(path, {})


async def test_decisions_are_alike_but_for_chance_and_time(lanes: Lanes) -> None:
    chance = ("decision_id", "expires_at", "offers", "action", "reason_codes", "holdout", "policy")
    for headers in (lanes.secret, lanes.secret | {"Content-Type": "Application/JSON; charset=utf-8"}):
        body = {"user_id": "ann", "slots": 1, "context": {"distance_m": 10.5}}
        typed = await sent(lanes.typed, "/v1/decisions", body, headers)
        fast = await sent(lanes.fast, "/v1/decisions", body, headers)
        assert compared(fast, chance) == compared(typed, chance)
        assert fast.status_code == 200
        assert list(fast.json()) == list(typed.json())
        assert len((await lanes.fast.post("/v1/decisions", json=body, headers=headers)).headers["x-request-id"]) == 32


async def test_an_idempotency_key_holds_across_the_lanes(lanes: Lanes) -> None:
    headers, body = lanes.secret | {"Idempotency-Key": "k-1"}, {"user_id": "ann"}
    first = await sent(lanes.fast, "/v1/decisions", body, headers)
    again = await through_both(lanes, "/v1/decisions", body, headers)
    assert (first.status_code, "idempotent-replayed" in first.headers) == (200, False)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert (await through_both(lanes, "/v1/decisions", {"user_id": "bob"}, headers)).status_code == 422
    bad = lanes.secret | {"Idempotency-Key": "two words"}
    assert (await through_both(lanes, "/v1/decisions", body, bad)).status_code == 400


async def test_user_tokens_hold_in_both_lanes(lanes: Lanes) -> None:
    settings = {"mode": "required", "keys": [{"kid": "k", "alg": "HS256", "secret": SECRET}]}
    assert (await lanes.typed.put("/v1/identity", json=settings, headers=lanes.secret)).status_code == 200
    token = jwt.encode({"sub": "ann", "exp": int(time.time()) + 600}, SECRET, headers={"kid": "k"})
    ann = lanes.publishable | {"X-User-Token": token}
    assert (await through_both(lanes, "/v1/decisions", {"user_id": "bob"}, ann)).status_code == 403
    assert (await through_both(lanes, "/v1/decisions", {"user_id": "ann"}, lanes.publishable)).status_code == 403
    assert (await through_both(lanes, "/v1/decisions", {}, lanes.publishable)).status_code == 400
    assert (await sent(lanes.fast, "/v1/decisions", {}, ann)).status_code == 200
    told = {"sent_at": NOW, "batch": [EVENT, EVENT | {"user_id": "bob", "event_id": "e-2"}]}
    answer = await through_both(lanes, "/v1/events", told, lanes.publishable)
    assert (answer.json()["rejected"], answer.json()["errors"][1]["code"]) == (2, "forbidden")
    assert (await sent(lanes.fast, "/v1/events", told, ann)).json()["accepted"] == 1


async def test_events_are_alike(lanes: Lanes) -> None:
    good, strange = {"sent_at": NOW, "batch": [EVENT]}, {"sent_at": NOW, "batch": [EVENT | {"type": "nothing"}]}
    assert (await sent(lanes.fast, "/v1/events", good, lanes.secret)).json()["accepted"] == 1
    again = await through_both(lanes, "/v1/events", good, lanes.secret)
    assert (again.status_code, again.json()["duplicates"]) == (200, 1)
    assert (await through_both(lanes, "/v1/events", strange, lanes.secret)).json()["rejected"] == 1


@pytest.mark.parametrize("path", BOTH)
async def test_without_a_database_both_refuse_alike_and_the_log_says_where(lanes: Lanes, path: str) -> None:
    body = {"user_id": "a stranger"} if path == "/v1/decisions" else {"sent_at": NOW, "batch": [EVENT]}
    assert (await sent(lanes.fast, "/v1/decisions", {"user_id": "ann"}, lanes.secret)).status_code == 200
    await lanes.typed.resources._own_pool.close()
    answer = await through_both(lanes, path, body, lanes.secret)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    await lanes.typed.resources.ingest.close()
    await lanes.typed.resources.decisions.close()
    assert (await through_both(lanes, path, body, lanes.secret)).json()[
        "detail"
    ] == "This worker is stopping; try again."


async def test_a_mistake_of_ours_is_told_and_logged_alike(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(lanes.typed.resources.intake, "_clock")
    with capture_logs() as logs:
        answer = await through_both(lanes, "/v1/events", {"sent_at": NOW, "batch": [EVENT]}, lanes.secret)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert [(line["route"], line["error"], line["request_id"]) for line in logs] == [
        ("/v1/events", "builtins.AttributeError", "mine")
    ] * 2


async def test_of_somebody_unknown_no_large_body_is_awaited(lanes: Lanes) -> None:
    port = lanes.fast.base_url.port
    for path in BOTH:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer pk_nobody\r\ncontent-type: application/json\r\n"
        )
        writer.write(f"{head}content-length: {UNKNOWN_BODY_BYTES_MAX + 1}\r\n\r\n".encode())
        try:
            async with asyncio.timeout(20):
                assert b" 401 " in await reader.readline()
        finally:
            writer.transport.abort()


async def test_a_large_body_of_who_is_known_goes_the_fast_way(lanes: Lanes) -> None:
    lane = FastLane(lanes.typed.resources)
    length = {b"content-length": b"%d" % (UNKNOWN_BODY_BYTES_MAX + 1)}
    for headers in (lanes.secret, lanes.publishable):
        bearer = {b"authorization": headers["Authorization"].encode()}
        for _ in range(2):  # the first call of a new key reads it, the second finds it
            assert await lanes.typed.resources.access.key_of(secret_of(bearer))
        assert lane.takes(b"/v1/events", bearer | length)
    for bearer in ({}, {b"authorization": b"Bearer sk_nobody"}, {b"authorization": b"none"}):
        assert not lane.takes(b"/v1/events", bearer | length)
        assert lane.takes(b"/v1/events", bearer | {b"content-length": b"%d" % UNKNOWN_BODY_BYTES_MAX})
