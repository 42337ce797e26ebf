"""Paths, queries with their cursors, and headers, sent to the real server over its real database: an answer in the one shape, and never a 500."""

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.problem import Problem
from service.routes.strict_query import _known_to
from tests.fuzz.material import calmly
from tests.integration import decision_world
from tests.integration.serving import Api, serving
from tests.security.table import handlers

_PROBLEM: Final = msgspec.json.Decoder(Problem)
_HEADERS: Final = [
    b"X-Request-Id",
    b"Idempotency-Key",
    b"If-None-Match",
    b"Content-Type",
    b"Accept",
    b"X-User-Token",
    b"X-Forwarded-For",
    b"Range",
]
_ODD: Final = [
    b"0", b"-1", b"1", b"2", b"007", b"1e3", b"0x10", b"1_0", b"+5", b" 5", "٣".encode(), b"9" * 18, b"9" * 19, b"9" * 400, b"18446744073709551616",
    b"00000001", b"7fffffff", b"80000000", b"ffffffff", b"0000000g", b"", b"\0", b"\xff", b"\xed\xa0\x80", b"a" * 64, b"a" * 65, b"a/b", b"..",
    b"true", b"True", b"on", b"null", b"[]", b"{}", b"%", b"'", b";", b"&", b"=", b"2026-02-30", b"milk", b"lunch", b"ann",
    b"00000000-0000-7000-8000-000000000007", b"00000000-0000-7000-8000-00000000000", b"{0}", b"NaN", b"\xe2\x80\xa8", b"a\r\nb: c",
]  # fmt: skip
_TEXT: Final = (
    st.sampled_from(_ODD) | st.binary(max_size=12) | st.integers().map(lambda one: b"%d" % one) | st.text(max_size=8).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)  # fmt: skip
_VISIBLE: Final = bytes(one for one in range(0x21, 0x7F) if one not in b"#")


class Route(NamedTuple):
    """A route that changes nothing, and the names that its query may hold."""

    path: str
    names: list[bytes]


class Server:
    """The application, with a loop that runs while it is asked something."""

    def __init__(self, runner: asyncio.Runner, api: Api, key: str) -> None:
        self._runner = runner
        self._api = api
        self._key = key

    def routes(self) -> list[Route]:
        found = [(path, handler) for (method, path), handler in handlers(self._api.app) if method == "GET"]
        return [Route(path, sorted(name.encode() for name in _known_to(handler))) for path, handler in found]

    def ask(self, target: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer; the key comes along."""
        lines = [b"Host: x", b"Connection: close", f"Authorization: {self._key}".encode()]
        lines += [name + b": " + value for name, value in headers]
        return self._runner.run(self._asked(b"GET " + target + b" HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n"))

    async def _asked(self, request: bytes) -> tuple[int, bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._api.port)
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split(b" ", 2)[1]), head, body


@pytest.fixture
def server(database: str) -> Iterator[Server]:
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        opened = serving(database, rate_limit_secret_key_per_s=0)
        api = runner.run(opened.__aenter__())
        stack.callback(lambda: runner.run(opened.__aexit__(None, None, None)))
        key = runner.run(api.key("sk", "admin"))["Authorization"]
        runner.run(furnished(api, key))
        yield Server(runner, api, key)


async def furnished(api: Api, key: str) -> None:
    """Some of everything, so that there is more than one page of it."""
    api.headers["Authorization"] = key
    now = datetime.now(UTC)
    days = {"starts_at": f"{now:%Y-%m-%dT00:00:00}", "ends_at": f"{now + timedelta(days=7):%Y-%m-%dT00:00:00}"}
    for name in ("milk", "bread", "lunch"):
        body = {
            "offer_id": name,
            "creative": {"title": name},
            "tags": [name],
            "discount_type": "percent",
            "discount_percent": 20,
        }
        assert (await api.put(f"/v1/offers/{name}", json=body)).is_success
        made = await api.post("/v1/campaigns", json={"campaign_id": name} | days)
        assert made.is_success, made.text
    await decision_world.publish(api.resources.pool, now)
    await api.resources.snapshot.refresh()
    assert (await api.post("/v1/decisions", json={"user_id": "ann"})).is_success


@st.composite
def queries(draw: st.DrawFn, names: list[bytes]) -> bytes:
    """Names that are known there, mostly, with odd values; now and then what is no query of anybody."""
    if not draw(st.integers(0, 6)):
        return bytes(draw(st.lists(st.sampled_from(_VISIBLE), max_size=24)))
    known = st.sampled_from(names) if names else st.nothing()
    name = known | known | known | st.sampled_from([b"dryrun", b"", b"\xff"])
    pairs = draw(st.lists(st.tuples(name, _TEXT), max_size=3))
    return b"&".join(quoted(one) + b"=" + quoted(value) for one, value in pairs)


def quoted(text: bytes) -> bytes:
    return quote_from_bytes(text, safe="").encode()


@st.composite
def targets(draw: st.DrawFn, routes: list[Route]) -> bytes:
    paged = [route for route in routes if b"cursor" in route.names]
    route = draw(st.sampled_from(routes) | st.sampled_from(paged))
    parts = [quoted(draw(_TEXT)) if part.startswith("{") else part.encode() for part in route.path.split("/")]
    query = draw(queries(route.names))
    return b"/".join(parts) + (b"?" + query if query else b"")


_LINES: Final = st.lists(
    st.tuples(
        st.sampled_from(_HEADERS), (_TEXT | st.binary(max_size=300)).map(lambda value: value.translate(None, b"\r\n"))
    ),
    max_size=2,
)


def test_whatever_is_asked_for_is_answered(server: Server) -> None:
    @calmly
    @given(targets(server.routes()), _LINES)
    def asked(target: bytes, lines: list[tuple[bytes, bytes]]) -> None:
        status, head, body = server.ask(target, lines)
        assert 200 <= status < 500, (status, body)
        if status >= 400 and b"problem+json" in head:
            assert _PROBLEM.decode(body).status == status
        elif status >= 400:
            assert body in {b"", b"Invalid HTTP request received."}, body  # below HTTP, or of a page that is for people

    asked()
