"""The real application behind a real uvicorn on 127.0.0.1, over a database of the test's own."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import uvicorn
from litestar import Litestar
from litestar.types import ControllerRouterHandler

from schema.access import KeyKind, Scope
from schema.ids import uuid7
from service import guards
from service.app import create_app
from service.connection import Connection
from service.connections import Connections
from service.fast_lane import FastLane
from service.resources import Resources
from service.settings import Secret, Settings
from service.store import access

KEYS = Secret(base64.b64encode(bytes(range(32))).decode())
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


class Api(httpx.AsyncClient):
    """A client of one running application."""

    def __init__(self, app: Litestar, resources: Resources, port: int) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)
        self.app = app
        self.resources = resources
        self.port = port

    async def key(self, kind: KeyKind, *scopes: Scope) -> dict[str, str]:
        """The headers of a new key."""
        secret = access.new_secret(kind)
        key_id = uuid7(NOW, secret[-10:].encode())
        await access.create_key(self.resources.pool, key_id, kind, scopes, secret=Secret(secret), now=NOW)
        return {"Authorization": f"Bearer {secret}"}


def on_connections(app: Any, hot: FastLane | None, lifespan: Literal["on", "off"] = "on") -> uvicorn.Config:
    """An application on our connections, without a front."""
    protocol = partial(Connection, Connections(1_000, 1_000), lambda *_: None, hot)
    return uvicorn.Config(
        app,
        log_config=None,
        lifespan=lifespan,
        loop="asyncio",
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        access_log=False,
    )


@asynccontextmanager
async def serving(dsn: str, *routes: ControllerRouterHandler, **settings: Any) -> AsyncIterator[Api]:
    """Serves the application, with further routes if a test brings some."""
    resources = Resources(
        Settings(**{"data_dir": Path("/nonexistent"), "pool_max": 4, "encryption_keys": KEYS, **settings}), dsn
    )
    app = create_app(resources)
    for route in routes:
        app.register(route)
    guards.refuse_open_routes(app)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(on_connections(app, FastLane(resources) if resources.settings.fast_lane else None))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        try:
            async with Api(app, resources, listener.getsockname()[1]) as api:
                yield api
        finally:
            server.should_exit = True
            await running
