"""The FCM stand-in on 127.0.0.1 in a thread, as the real channel meets it: plain, or behind TLS and HTTP/2."""

import asyncio
import json
import shutil
import socket
import tempfile
import threading
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import uvicorn

from push.loopback_certificate import write_certificate
from push.stand_in.account import make_service_account
from push.stand_in.app import StandIn
from tests.contract.h2_front import H2Front
from tests.contract.nginx_front import Nginx

Front = Literal["http1", "h2", "nginx"]


class StandInServer:
    """`with StandInServer() as server:` then `server.url`, `server.ca_file`, `server.account` and `server.app`.

    `stop` takes it down. Tokens and pages are always asked at `plain_url`, over HTTP/1.1 without TLS.
    """

    def __init__(self, *, slow_s: float = 0.3, front: Front = "http1", requests_a_connection: int = 1_000_000) -> None:
        self.front = front
        self._requests_a_connection = requests_a_connection
        self._plain = socket.create_server(("127.0.0.1", 0))
        self._tls = socket.create_server(("127.0.0.1", 0))
        self.plain_url = f"http://127.0.0.1:{_port(self._plain)}"
        self.url = self.plain_url if front == "http1" else f"https://127.0.0.1:{_port(self._tls)}"
        self.ca_file: Path | None = None
        self.account = make_service_account(self.plain_url)
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.app = StandIn(now=self.read_clock, service_account=self.account, slow_s=slow_s)
        self.server = uvicorn.Server(
            uvicorn.Config(self.app, log_level="critical", access_log=False, ws="none", timeout_graceful_shutdown=1)
        )
        self.is_open = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._nginx: Nginx | None = None

    async def read_clock(self) -> datetime:
        await asyncio.sleep(0)
        return self.now

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.plain_url + path, timeout=5) as answer:
            return json.load(answer)

    def put_faults(self, *faults: dict[str, Any]) -> None:
        """Sets faults as a test in another language would."""
        body = json.dumps({"faults": faults}).encode()
        request = urllib.request.Request(f"{self.plain_url}/faults", body, method="PUT")
        urllib.request.urlopen(request, timeout=5).close()

    async def _serve(self) -> None:
        front = H2Front(self.app, self.ca_file, self.ca_file.with_suffix(".key")) if self.ca_file else None
        if front is not None and self.front == "h2":
            await front.start(self._tls)
        serving = asyncio.create_task(self.server.serve(sockets=[self._plain]))
        while not self.server.started:
            await asyncio.sleep(0.01)
        self.is_open.set()
        await serving
        if front is not None and self.front == "h2":
            await front.stop()

    def stop(self) -> None:
        if self._nginx is not None:
            self._nginx.stop()
        self.server.should_exit = True
        self.thread.join(timeout=10)
        self._plain.close()
        self._tls.close()

    def __enter__(self) -> Self:
        # Not pytest's folder: nginx as root gives its work to another account, which must pass through.
        self.folder = Path(tempfile.mkdtemp(prefix="welltimed-stand-in-"))
        self.folder.chmod(0o755)
        if self.front != "http1":
            self.ca_file, _ = write_certificate(self.folder)
        if self.front != "h2":
            self._tls.close()
        self.thread.start()
        assert self.is_open.wait(10)
        if self.front == "nginx":
            assert self.ca_file is not None
            self._nginx = Nginx(
                self.folder,
                port=int(self.url.rpartition(":")[2]),
                behind=_port(self._plain),
                certificate=self.ca_file,
                key=self.ca_file.with_suffix(".key"),
                requests_a_connection=self._requests_a_connection,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)


def _port(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port
