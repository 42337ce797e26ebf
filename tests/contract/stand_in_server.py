"""The FCM stand-in served by uvicorn in a thread on 127.0.0.1, as the real channel meets it."""

import asyncio
import json
import socket
import threading
import time
import urllib.request
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import uvicorn

from push.stand_in import StandIn
from push.stand_in_account import make_service_account


class StandInServer:
    """`with StandInServer() as server:` then `server.url`, `server.account` and `server.app`; `stop` takes it down."""

    def __init__(self, *, slow_s: float = 0.3) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.account = make_service_account(self.url)
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.app = StandIn(now=self.read_clock, service_account=self.account, slow_s=slow_s)
        self.server = uvicorn.Server(
            uvicorn.Config(self.app, log_level="error", access_log=False, ws="none", timeout_graceful_shutdown=1)
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    async def read_clock(self) -> datetime:
        await asyncio.sleep(0)
        return self.now

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)
        self.socket.close()

    def __enter__(self) -> Self:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
