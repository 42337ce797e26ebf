"""`welltimed serve`: PostgreSQL if needed, migrations, API workers, the background worker; what dies is started again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from push.stand_in_account import make_service_account
from service import telemetry
from service.settings import PREFIX, Settings
from service.sockets import reserve
from service.store import migrate, partitions_by_day, pool
from service.store.access import ensure_bootstrap_key
from service.store.embedded import EmbeddedPostgres
from service.store.unavailable import PostgresUnavailable

READY_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 20.0
LOOK_EVERY_S: Final = 0.2
RESTART_PAUSE_S: Final = 0.5

_LOG: Final = telemetry.logger("supervisor")


class NotReadyError(Exception):
    """The server did not come up; its own words are in the log."""


class _Child:
    """A process that is started again when it ends by itself."""

    def __init__(self, role: str, environment: dict[str, str]) -> None:
        self.role = role
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._may_start_at = 0.0

    def keep_alive(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() < self._may_start_at:
            return
        if self._process is not None:
            _LOG.warning("a process ended and is started again", role=self.role, code=self._process.returncode)
        self._may_start_at = time.monotonic() + RESTART_PAUSE_S
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "service.cli", "serve", "--role", self.role, "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Supervisor:
    """Holds the whole installation together on one machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._postgres: EmbeddedPostgres | None = None
        self._children: list[_Child] = []

    def stop(self) -> None:
        """Ends `run` in order: no new requests, work in flight finished, PostgreSQL last."""
        self._stop.set()

    def run(self) -> None:
        """Runs until stopped; prints one JSON line with the addresses when everything is ready.

        Raises:
            NotReadyError: it did not become ready.
        """
        with ExitStack() as stack:
            dsn = self._start_postgres(stack)
            asyncio.run(self._prepare(dsn))
            port_holder = stack.enter_context(reserve(self._settings.host, self._settings.port))
            port = port_holder.getsockname()[1]
            environment = self._environment(dsn, port, stack)
            self._children = [_Child("api", environment) for _ in range(self._settings.workers)]
            self._children.append(_Child("worker", environment))
            if self._settings.firebase_credentials is None:
                self._children.insert(0, _Child("stand-in", environment))
            stack.callback(self._stop_children)
            url = f"http://{self._settings.host}:{port}"
            if not self._wait_until_ready(url):
                return
            print(json.dumps({"url": url, "stand_in_url": environment.get(PREFIX + "FCM_BASE_URL")}), flush=True)  # noqa: T201
            self._watch()

    def _start_postgres(self, stack: ExitStack) -> str:
        if self._settings.database_url is not None:
            return self._settings.database_url.reveal()
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._postgres = EmbeddedPostgres(self._settings.data_dir / "postgres", bin_dir=self._settings.postgres_bin_dir)
        stack.enter_context(self._postgres)
        return self._postgres.dsn()

    async def _prepare(self, dsn: str) -> None:
        applied = await migrate.migrate(dsn)
        if applied:
            _LOG.info("migrated", applied=applied)
        connection = await asyncpg.connect(dsn)
        try:
            await pool.prepare(connection)
            now = datetime.now(UTC)
            if not self._settings.is_virtual_clock:
                await partitions_by_day.ensure(connection, now)
            if self._settings.bootstrap_key is not None:
                await ensure_bootstrap_key(connection, self._settings.bootstrap_key, now)
        finally:
            await connection.close()

    def _environment(self, dsn: str, port: int, stack: ExitStack) -> dict[str, str]:
        """What the children get: our own environment, with what was decided here."""
        environment = {
            **os.environ,
            PREFIX + "DATABASE_URL": dsn,
            PREFIX + "PORT": str(port),
            PREFIX + "HOST": self._settings.host,
        }
        environment[PREFIX + "SEED"] = self._settings.seed
        environment[PREFIX + "DATA_DIR"] = str(self._settings.data_dir)
        environment[PREFIX + "IS_VIRTUAL_CLOCK"] = str(self._settings.is_virtual_clock).lower()
        if self._settings.firebase_credentials is None:
            stand_in = stack.enter_context(reserve("127.0.0.1", self._settings.stand_in_port))
            stand_in_port = stand_in.getsockname()[1]
            base_url = f"http://127.0.0.1:{stand_in_port}"
            environment[PREFIX + "STAND_IN_PORT"] = str(stand_in_port)
            environment[PREFIX + "FCM_BASE_URL"] = base_url
            environment[PREFIX + "FIREBASE_CREDENTIALS"] = str(
                _stand_in_account(self._settings.data_dir, base_url, stack)
            )
        return environment

    def _wait_until_ready(self, url: str) -> bool:
        """True when it is ready; False when it was stopped before."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self._stop.is_set():
            for child in self._children:
                child.keep_alive()
            if _is_ready(url):
                return True
            if time.monotonic() > deadline:
                raise NotReadyError(f"not ready after {READY_TIMEOUT_S:.0f} s; ask {url}/readyz why")
            self._stop.wait(LOOK_EVERY_S)
        return False

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            if self._postgres is not None and not self._postgres.is_alive():
                self._restart(self._postgres)
            for child in self._children:
                child.keep_alive()

    @staticmethod
    def _restart(postgres: EmbeddedPostgres) -> None:
        _LOG.warning("PostgreSQL ended and is started again")
        try:
            postgres.start()
        except PostgresUnavailable as error:
            _LOG.error("PostgreSQL does not start; it is tried again", reason=str(error))

    def _stop_children(self) -> None:
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(STOP_TIMEOUT_S)


def _stand_in_account(data_dir: Path, base_url: str, stack: ExitStack) -> Path:
    """A throw-away service account for our stand-in, new at every start, readable by us alone, gone when `stack` ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    # Another supervisor on the same data has a stand-in and an account of its own.
    path = data_dir / f"stand-in-account-{os.getpid()}.json"
    path.unlink(missing_ok=True)
    stack.callback(path.unlink, missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(make_service_account(base_url)))
    return path


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def stop_on_signals(supervisor: Supervisor) -> None:
    """SIGTERM and SIGINT end it in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
