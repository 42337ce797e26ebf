"""What no route takes: bodies that are too large, too deep, not UTF-8, not JSON, or hold what nobody can mean. Refused in one shape, never 500."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio

from service.guards import BODY_BYTES_MAX
from tests.integration.serving import NOW, Api, serving
from tests.security.table import PUBLIC, Row, handlers, rows
from tests.security.test_who_may_call import MEDIA_TYPES

BROKEN: dict[str, bytes] = {
    "not closed": b'{"a":',
    "not UTF-8": b'{"a":"\xff\xfe"}',
    "half a surrogate": b'{"a":"\\ud800"}',
    "NUL": b'{"a":"\\u0000"}',
    "raw NUL": b'{"a":"\x00"}',
    "deep list": b"[" * 100_000,
    "deep and closed": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "unknown field": b'{"nobody_knows_this": 1}',
    "huge number": b'{"a":' + b"9" * 20_000 + b"}",
    "infinite number": b'{"a":1e999}',
    "not a number": b'{"a":NaN}',
    "a list": b"[1]",
    "null": b"null",
    "a text": b'"a"',
}
DEPTHS = (100, 900, 1_100, 20_000)


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        served.headers.update(await served.key("sk", "admin"))
        yield served


def bodies(api: Api) -> list[tuple[Row, Any]]:
    """The routes of this application that may have a body, with their handlers."""
    handler_of = dict(handlers(api.app))
    return [
        (row, handler_of[row.method, row.template])
        for row in rows()
        if row.has_body and (row.method, row.template) in handler_of
    ]


async def send(api: Api, row: Row, body: bytes, media_type: str | None = None) -> httpx.Response:
    told = MEDIA_TYPES.get(row.template, "application/json") if media_type is None else media_type
    return await api.request(row.method, row.path, content=body, headers={"Content-Type": told})


def check(answer: httpx.Response, where: Any) -> dict[str, Any]:
    """A refusal in the one shape, which names what is wrong where that can be told."""
    assert 400 <= answer.status_code < 500, (where, answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json", where
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code, where
    assert len(answer.content) < 4096, where
    return problem


async def test_broken_bodies_are_refused_at_every_route(api: Api) -> None:
    for row, handler in bodies(api):
        is_json = "data" in handler.parsed_fn_signature.parameters
        for name, body in BROKEN.items():
            answer = await send(api, row, body)
            if row.template == "/v1/events":
                assert answer.status_code == 400, name
            problem = check(answer, (row, name))
            if is_json and answer.status_code == 400:
                assert problem["code"] in {"malformed_json", "invalid_field", "unknown_field", "invalid_body"}, (
                    row,
                    name,
                )
                assert problem.get("errors") or problem["code"] == "malformed_json", (row, name)


async def test_a_body_of_another_type_is_refused_at_every_route(api: Api) -> None:
    for row, handler in bodies(api):
        taken = handler.opt.get("content_types", ("application/json",))
        for media_type in ("application/json", "text/csv", "text/plain", "application/xml", "", "multipart/form-data"):
            if media_type not in taken:
                problem = check(await send(api, row, b"{}", media_type), (row, media_type))
                assert (problem["status"], problem["code"]) == (415, "unsupported_media_type"), (row, media_type)


async def test_a_body_is_bounded_at_every_route(api: Api) -> None:
    async def in_chunks(size: int) -> AsyncIterator[bytes]:
        for start in range(0, size, 65536):
            yield b"x" * min(65536, size - start)

    for row, handler in bodies(api):
        limit = handler.opt.get("body_bytes_max", BODY_BYTES_MAX)
        assert limit <= 16 * 2**20, row
        if limit > 2 * 2**20:
            continue  # the file of offers, in tests/integration/test_offers_import.py
        check(await send(api, row, b"x" * limit), row)
        problem = check(await send(api, row, b"x" * (limit + 1)), row)
        assert (problem["status"], problem["code"], problem["errors"][0]["pointer"]) == (413, "body_too_large", ""), row
        if "data" in handler.parsed_fn_signature.parameters:  # others do not read it
            told = await api.request(
                row.method, row.path, content=in_chunks(limit + 1), headers={"Content-Type": "application/json"}
            )
            assert told.status_code == 413, row


def nested(depth: int, *, is_object: bool) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth if is_object else b"[" * depth + b"]" * depth


async def test_what_may_hold_anything_is_not_deep(api: Api) -> None:
    """Traits, properties of events and merge patches: the places of the API whose shape is the client's own."""
    event = b'{"sent_at":"%s","batch":[{"event_id":"e","type":"view","user_id":"ann","occurred_at":"%s","properties":{"x":%s}}]}'
    instant = NOW.isoformat().encode()
    for depth in DEPTHS:
        for is_object in (True, False):
            value = nested(depth, is_object=is_object)
            for method, path, body in (
                ("POST", "/v1/identify", b'{"user_id":"ann","traits":{"x":%s}}' % value),
                ("PATCH", "/v1/offers/milk", b'{"creative":%s}' % value),
                ("POST", "/v1/events", event % (instant, instant, value)),
            ):
                answer = await api.request(method, path, content=body, headers={"Content-Type": "application/json"})
                assert answer.status_code < 500, (path, depth, answer.text[:300])
                if depth > 1_000 and path != "/v1/events":
                    check(answer, (path, depth))
    assert (await api.get("/v1/users/ann/consent")).status_code in {200, 404}


async def test_paths_and_queries_that_nobody_means_are_refused(api: Api) -> None:
    for row, _ in [(row, None) for row in rows()]:
        if "{" not in row.template or row.needs == PUBLIC or row.template.startswith("/v1/clock"):
            continue
        for odd in ("%00", "%c3%28", "a" * 3_000, "..%2fetc%0d%0aX-Header:1", "99999999999999999999"):
            parts = [odd if part.startswith("{") else part for part in row.template.split("/")]
            body = {"content": b"{}"} if row.has_body else {}
            answer = await api.request(
                row.method, "/".join(parts), headers={"Content-Type": "application/json"}, **body
            )
            assert answer.status_code < 500, (row, odd, answer.text[:200])
            assert "x-header" not in answer.headers
    for path in ("/v1/offers", "/v1/campaigns", "/v1/webhooks", "/v1/contact-rules/versions", "/v1/inbox"):
        for query in (
            "limit=0",
            "limit=-1",
            "limit=99999999999999999999",
            "limit=x",
            "cursor=%00",
            "cursor=" + "9" * 200,
        ):
            check(
                await api.get(f"{path}?{query}&user_id=ann" if path == "/v1/inbox" else f"{path}?{query}"),
                (path, query),
            )
