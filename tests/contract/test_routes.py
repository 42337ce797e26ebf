"""Every route of the application, the ones of tomorrow too: nothing of it runs in a thread, no query is passed over. Who may call it: tests/security."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from litestar import Litestar
from litestar.utils.sync import AsyncCallable

from service.app import create_app
from service.resources import Resources
from service.settings import Settings
from service.store import virtual_clock
from tests.integration.serving import NOW, serving

PARAMETERS = {"uuid": str(uuid.UUID(int=7)), "int": "7", "str": "seven"}


class Operation(NamedTuple):
    method: str
    path: str
    opt: dict[str, Any]
    handler: Any


def operations(app: Litestar) -> Iterator[Operation]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
            for method in sorted(handler.http_methods - {"OPTIONS"}):
                path = re.sub(r"\{\w+:(\w+)\}", lambda found: PARAMETERS[found[1]], route.path)
                yield Operation(method, path, handler.opt, handler)


def application() -> Litestar:
    settings = Settings(data_dir=Path("/nonexistent"), is_virtual_clock=True)
    return create_app(Resources(settings, "postgresql://127.0.0.1:1/none"))


def test_nothing_runs_in_the_thread_pool() -> None:
    app = application()
    assert not [hook for hook in (*app.before_send, *app.after_exception) if isinstance(hook, AsyncCallable)]
    for operation in operations(app):
        handler = operation.handler
        hooks = [
            *handler.resolve_guards(),
            handler.resolve_before_request(),
            handler.resolve_after_response(),
            handler.after_request,
        ]
        assert not [hook for hook in hooks if isinstance(hook, AsyncCallable)], operation
        assert not handler.has_sync_callable or not handler.resolve_include_in_schema(), operation
        for provide in handler.resolve_dependencies().values():
            assert not isinstance(provide.dependency, AsyncCallable), operation


def test_bodies_are_bounded_everywhere() -> None:
    for operation in operations(application()):
        assert operation.opt.get("body_bytes_max", 0) <= 16 * 1024 * 1024, operation


async def test_no_route_passes_over_a_misspelt_query(database: str) -> None:
    async with serving(database, is_virtual_clock=True) as api:
        await virtual_clock.advance(api.resources.pool, NOW)
        admin = await api.key("sk", "admin")
        for operation in operations(api.app):
            media_type = operation.opt.get("content_types", ("application/json",))[0]
            body = {"content": b"{}"} if operation.method in {"POST", "PUT", "PATCH"} else {}
            path, headers = operation.path + "?dryrun=true&%00=1", admin | {"Content-Type": media_type}
            assert (await api.request(operation.method, path, headers=headers, **body)).status_code == 400, operation
        answer = await api.post("/v1/offers/imports?dryrun=true", headers=admin | {"Content-Type": "text/csv"})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["query:dryrun"]
        assert "only dry_run" in answer.json()["detail"]
        for path in ("/v1/offers?limit=1", "/v1/offers?", "/v1/campaigns?cursor=a&limit=2"):
            assert (await api.get(path, headers=admin)).status_code == 200, path
