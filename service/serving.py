"""The roles a process can play: an API worker, the background worker, the stand-in for FCM."""

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any, Final

import certifi
import uvicorn
import uvloop

from push.fcm import FcmChannel
from push.stand_in import create_stand_in
from service.app import create_app
from service.clock import Clock, SystemClock
from service.resources import Resources
from service.settings import Settings, SettingsError
from service.store.pool import open_pool
from service.store.virtual_clock import VirtualClock
from service.worker import Worker

GOOGLE: Final = "https://fcm.googleapis.com"
GRACE_S: Final = 10
BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that other processes may share: the kernel spreads connections over them."""
    shared = reserve(host, port)
    shared.listen(BACKLOG)
    return shared


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that holds a port (any free one for 0) without taking connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shared = socket.socket(family, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind((host, port))
    return shared


def serve_api(settings: Settings, dsn: str) -> None:
    """Serves the API until told to stop; requests in flight are finished."""
    _serve(create_app(Resources(settings, dsn)), settings.host, settings.port)


def serve_stand_in(settings: Settings, dsn: str) -> None:
    """Serves the stand-in for FCM on this machine only."""
    account = read_account(settings.firebase_credentials)

    async def run() -> None:
        async with await open_pool(dsn, 1) as pool:
            clock: Clock = VirtualClock(pool) if settings.is_virtual_clock else SystemClock()
            app = create_stand_in(now=clock.now, service_account=account)
            await _server(app).serve(sockets=[listen("127.0.0.1", settings.stand_in_port)])

    uvloop.run(run())


def work(settings: Settings, dsn: str) -> None:
    """Runs the background worker until told to stop."""
    channel = FcmChannel(
        read_account(settings.firebase_credentials),
        base_url=settings.fcm_base_url or GOOGLE,
        ca_file=Path(certifi.where()),
    )

    async def run() -> None:
        worker = Worker(settings, dsn, channel)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()

    uvloop.run(run())


def read_account(path: Path | None) -> dict[str, Any]:
    """The service account in a JSON file.

    Raises:
        SettingsError: there is no such file, or it is not one.
    """
    if path is None:
        raise SettingsError(
            "WELLTIMED_FIREBASE_CREDENTIALS must name a service account's file when a worker runs alone"
        )
    try:
        account: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"WELLTIMED_FIREBASE_CREDENTIALS: {error}") from None
    if not isinstance(account, dict) or account.get("type") != "service_account":
        raise SettingsError(f"WELLTIMED_FIREBASE_CREDENTIALS: {path} is not a service account")
    return account


def _serve(app: Any, host: str, port: int) -> None:
    uvloop.run(_server(app).serve(sockets=[listen(host, port)]))


def _server(app: Any) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)
