"""What hostile or broken clients send is answered 4xx in one shape, and the server goes on."""

import asyncio
import json
from typing import Any

import httpx
from litestar import Request, get, post
from litestar.params import FromQuery, JSONBody
from structlog.testing import capture_logs

from schema.access import NewKey
from service.errors import MEDIA_TYPE
from tests.integration.serving import Api, serving

CANARY = "canary-8c1f"


@post("/probe/big", opt={"scope": "ingest", "body_bytes_max": 2_000_000}, status_code=200)
async def big(request: Request[Any, Any, Any]) -> int:
    return len(await request.body())


@post("/probe/csv", opt={"scope": "ingest", "content_types": ("text/csv",)}, status_code=200)
async def csv(request: Request[Any, Any, Any]) -> int:
    return len(await request.body())


@post("/probe/keys", opt={"scope": "ingest"}, status_code=200)
async def keys(data: JSONBody[NewKey]) -> str:
    return data.kind


@get("/probe/limit", opt={"scope": "public"})
async def limit(limit: FromQuery[int]) -> int:
    return limit


@get("/probe/broken", opt={"scope": "public"})
async def broken() -> None:
    raise KeyError(CANARY)


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"urn:welltimed:problem:{code}"
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


async def post_json(
    api: Api, headers: dict[str, str], body: bytes, media_type: str = "application/json"
) -> httpx.Response:
    return await api.post("/probe/keys", content=body, headers=headers | {"Content-Type": media_type})


CORPUS: list[tuple[bytes, int, str]] = [
    (b"", 400, "invalid_field"),
    (b"{", 400, "malformed_json"),
    (b"[" * 100_000, 400, "invalid_field"),
    (b'{"kind":"pk","scopes":[' + b"[" * 100_000, 400, "invalid_field"),
    (b'{"kind":"\xff\xfe"}', 400, "malformed_json"),
    (b"\xff\xfe", 400, "malformed_json"),
    (b'{"kind":NaN}', 400, "malformed_json"),
    (b'{"kind":"pk\\u0000"}', 400, "invalid_field"),
    (b'{"kind":"pk","x":"\\u0000"}', 400, "invalid_field"),
    (b'{"kind":"pk\x00"}', 400, "malformed_json"),
    (b'{"kind":1e400}', 400, "invalid_field"),
    (b'{"kind":' + b"9" * 10_000 + b"}", 400, "invalid_field"),
    (b'"pk"', 400, "invalid_field"),
    (b"null", 400, "invalid_field"),
    (b'{"kind":"pk","other":1}', 400, "unknown_field"),
    (b"x" * 300_000, 413, "body_too_large"),
    (b"[" * 11_000_000, 413, "body_too_large"),
]


async def test_broken_bodies_are_refused_in_one_shape(database: str) -> None:
    async with serving(database, keys) as api:
        headers = await api.key("sk", "ingest")
        for body, status, code in CORPUS:
            check_problem(await post_json(api, headers, body), status, code)
        assert (
            check_problem(await post_json(api, headers, b""), 400, "invalid_field")["detail"]
            == "A JSON body is required."
        )
        for media_type in ("text/plain", "", "application/xml", "multipart/form-data; boundary=x", "application/jsonx"):
            check_problem(await post_json(api, headers, b'{"kind":"pk"}', media_type), 415, "unsupported_media_type")
        good = await post_json(api, headers, b'{"kind":"pk"}', "Application/JSON; charset=utf-8")
        assert (good.status_code, good.text) == (200, "pk")


async def test_a_body_is_bounded_while_it_comes_in(database: str) -> None:
    async def chunks(count: int) -> Any:
        for _ in range(count):
            yield b"x" * 100_000

    async with serving(database, big, csv) as api:
        headers = await api.key("sk", "ingest") | {"Content-Type": "application/json"}
        assert (await api.post("/probe/big", content=chunks(20), headers=headers)).text == "2000000"
        check_problem(await api.post("/probe/big", content=chunks(21), headers=headers), 413, "body_too_large")
        check_problem(await api.post("/probe/big", content=b"x" * 2_000_001, headers=headers), 413, "body_too_large")
        as_csv = headers | {"Content-Type": "text/csv; charset=utf-8"}
        assert (await api.post("/probe/csv", content=b"a,b", headers=as_csv)).text == "3"
        check_problem(await api.post("/probe/csv", content=b"{}", headers=headers), 415, "unsupported_media_type")


async def test_a_client_that_goes_away_is_no_error_of_ours(database: str) -> None:
    async with serving(database, big) as api:
        key = (await api.key("sk", "ingest"))["Authorization"]
        with capture_logs() as logs:
            _, writer = await asyncio.open_connection("127.0.0.1", api.port)
            writer.write(
                f"POST /probe/big HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Type: application/json\r\n"
                "Content-Length: 1000\r\n\r\n{".encode()
            )
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.close()
            await writer.wait_closed()
            assert (await api.get("/livez")).status_code == 200
        assert logs == []


async def test_unknown_paths_methods_and_parameters(database: str) -> None:
    async with serving(database, limit) as api:
        check_problem(await api.get("/nowhere"), 404, "not_found")
        check_problem(await api.post("/livez"), 405, "not_found")
        check_problem(await api.options("/v1/keys"), 401, "unauthenticated")
        check_problem(await api.options("/probe/limit"), 405, "not_found")
        problem = check_problem(await api.get("/probe/limit?limit=x"), 400, "invalid_field")
        assert problem["errors"][0]["pointer"] == "query:limit"
        assert "'limit'" in check_problem(await api.get("/probe/limit"), 400, "invalid_field")["detail"]


async def test_every_answer_is_stamped(database: str) -> None:
    async with serving(database, broken) as api:
        for path in ("/livez", "/nowhere", "/v1/keys", "/probe/broken"):
            answer = await api.get(path, headers={"X-Request-Id": "mine-1"})
            assert answer.headers.get_list("x-request-id") == ["mine-1"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in answer.headers
        assert len((await api.get("/livez")).headers["x-request-id"]) == 32
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://welltimed.test") as secure:
            assert "strict-transport-security" in (await secure.get("/livez")).headers


async def test_a_mistake_of_ours_is_logged_by_place_without_what_was_sent(database: str) -> None:
    async with serving(database, broken) as api:
        with capture_logs() as logs:
            answer = await api.get("/probe/broken", headers={"X-Request-Id": "mine-2"})
        problem = check_problem(answer, 500, "internal")
        assert CANARY not in json.dumps(problem)
        (line,) = logs
        assert (line["request_id"], line["route"], line["error"]) == ("mine-2", "/probe/broken", "builtins.KeyError")
        assert any(frame.endswith(" broken") for frame in line["frames"])
        assert CANARY not in json.dumps(line)


async def test_without_a_database_the_answer_is_503(database: str) -> None:
    async with serving(database) as api:
        admin = await api.key("sk", "admin")
        assert (await api.get("/v1/keys", headers=admin)).status_code == 200
        await api.resources.pool.close()
        await api.resources._own_pool.close()
        check_problem(await api.get("/v1/keys", headers=admin), 503, "unavailable")
        for path in ("/v1/keys", "/readyz"):
            answer = await api.get(path, headers=admin)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await api.get("/livez")).status_code == 200
