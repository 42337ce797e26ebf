"""`welltimed serve`: PostgreSQL if needed, migrations, API workers, the background worker; what dies is started again."""

import asyncio
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg

from push.sealing import NotOpened
from push.stand_in.account import make_service_account
from service import exposition, metrics_dir, telemetry
from service.clock import running_clock
from service.encryption import FILE, Encryption
from service.settings import PREFIX, Settings, SettingsError
from service.sockets import reserve, reserve_alone
from service.store import audit, migrate, partitions_by_day, pool, resealing
from service.store.access import ensure_bootstrap_key
from service.store.embedded import EmbeddedPostgres
from service.store.unavailable import PostgresUnavailable
from service.supervised_process import SupervisedProcess

READY_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 30.0
"""Longer than the worst drain of the worker: 15 s until FCM must have answered, 7 s in which the outcomes are written."""

LOOK_EVERY_S: Final = 0.2

POSTGRES_AGAIN_S: Final = (0.2, 5.0)
"""The pause after a start of PostgreSQL that failed, as on a full disk: at first, and at most; it doubles."""

_METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Our own address is asked directly, whatever proxy the surroundings name."""

_LOG: Final = telemetry.logger("supervisor")


class NotReadyError(Exception):
    """The server did not come up; its own words are in the log."""


class Supervisor:
    """Holds the whole installation together on one machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_again_at = 0.0
        self._postgres_pause_s = POSTGRES_AGAIN_S[0]
        self._children: list[SupervisedProcess] = []

    def stop(self) -> None:
        """Ends `run` in order: no new requests, work in flight finished, PostgreSQL last."""
        self._stop.set()

    def run(self) -> None:
        """Runs until stopped; prints one JSON line with the addresses when everything is ready.

        Raises:
            NotReadyError: it did not become ready.
        """
        with ExitStack() as stack:
            port_holder = stack.enter_context(reserve_alone(self._settings.host, self._settings.port))
            port = port_holder.getsockname()[1]
            dsn = self._start_postgres(stack)
            asyncio.run(self._prepare(dsn))
            environment = self._environment(dsn, port, stack)
            self._children = self._processes(self._roles(), environment)
            stack.callback(self._stop_children)
            url = f"http://{self._settings.host}:{port}"
            if not self._wait_until_ready(url):
                return
            # Helpers come last: by then the kernels have been compiled, by those who are waited for.
            self._children += self._processes(self._helpers(), environment)
            print(json.dumps({"url": url, "stand_in_url": environment.get(PREFIX + "FCM_BASE_URL")}), flush=True)  # noqa: T201
            self._watch()

    def _roles(self) -> list[str]:
        """Without these it is not ready."""
        roles = ["api"] * self._settings.workers + ["worker"]
        if self._settings.firebase_credentials is None:
            roles.insert(0, "stand-in")
        return roles

    def _helpers(self) -> list[str]:
        """In virtual time the worker does all alone, in a fixed order."""
        return [] if self._settings.is_virtual_clock else ["drawer"] * self._settings.drawers

    def _processes(self, roles: Sequence[str], environment: Mapping[str, str]) -> list[SupervisedProcess]:
        forget = partial(exposition.forget, Path(environment[PREFIX + "METRICS_DIR"]))
        return [SupervisedProcess(role, environment, forget) for role in roles]

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
            now = await running_clock(self._settings.hastened_clock).now()
            if not self._settings.is_virtual_clock:
                await partitions_by_day.ensure(connection, now)
            await self._seal(connection)
            if self._settings.bootstrap_key is not None:
                await audit.speak(connection, "WELLTIMED_BOOTSTRAP_KEY", for_good=True)
                await ensure_bootstrap_key(connection, self._settings.bootstrap_key, now)
        finally:
            await connection.close()

    async def _seal(self, connection: Any) -> None:
        """Raises SettingsError when something is sealed by a key that is not here."""
        if not await resealing.is_needed(connection):
            return  # the file of the key is made when something is to be sealed
        await audit.speak(connection, "encryption key", for_good=True)
        try:
            done = await resealing.reseal(connection, Encryption(self._settings).sealer())
        except NotOpened as error:
            detail = f"an e-mail address or a webhook's secret cannot be opened: {error}"
            raise SettingsError(
                f"{detail}. Give back {FILE} or WELLTIMED_ENCRYPTION_KEYS (docs/operations.md)"
            ) from None
        if done:
            _LOG.info("sealed", count=done)

    def _environment(self, dsn: str, port: int, stack: ExitStack) -> dict[str, str]:
        """What the children get: our own environment, with what was decided here."""
        environment = {
            **os.environ,
            PREFIX + "DATABASE_URL": dsn,
            PREFIX + "PORT": str(port),
            PREFIX + "HOST": self._settings.host,
        }
        environment[PREFIX + "WORKERS"] = str(self._settings.workers)  # each has its share of what the limits allow
        environment[PREFIX + "SEED"] = self._settings.seed
        environment[PREFIX + "DATA_DIR"] = str(self._settings.data_dir)
        environment[PREFIX + "IS_VIRTUAL_CLOCK"] = str(self._settings.is_virtual_clock).lower()
        environment[PREFIX + "METRICS_DIR"] = environment[_METRICS_VARIABLE] = str(
            stack.enter_context(metrics_dir.made(self._settings.data_dir))
        )
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
            if self._postgres is not None and time.monotonic() >= self._postgres_again_at:
                self._look_after(self._postgres)
            for child in self._children:
                child.keep_alive()

    def _look_after(self, postgres: EmbeddedPostgres) -> None:
        first_s, most_s = POSTGRES_AGAIN_S
        if postgres.is_alive():
            self._postgres_pause_s = first_s
            return
        _LOG.warning("PostgreSQL does not answer; where it has ended it is started again")
        try:
            postgres.start()
        except PostgresUnavailable as error:
            _LOG.error(
                "PostgreSQL does not start; it is tried again", reason=str(error), pause_s=self._postgres_pause_s
            )
            self._postgres_again_at = time.monotonic() + self._postgres_pause_s
            self._postgres_pause_s = min(2 * self._postgres_pause_s, most_s)

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
        with _OPENER.open(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def stop_on_signals(supervisor: Supervisor) -> None:
    """SIGTERM and SIGINT end it in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
