"""Our own PostgreSQL for trials and tests: made, started, shared by several processes, stopped by the last of them."""

import os
import secrets
import shlex
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import quote, urlencode

from service.store.account import Tools, account_for, reachable_tools
from service.store.binaries import find_binaries
from service.store.data_root import (
    claim,
    discard_outside_sockets,
    is_claimed,
    join_users,
    leave_users,
    socket_dir,
    start_lock,
)
from service.store.postmaster import PidFile, answers, drop_stale_files, processes_in, read_pid_file
from service.store.unavailable import PostgresUnavailable

SUPERUSER: Final = "postgres"
ROLE: Final = "welltimed"

# Sized for a shared machine of two cores; everything else is PostgreSQL's default.
SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shared_buffers": "256MB",
        "max_wal_size": "2GB",
        "min_wal_size": "2GB",  # files of the log are written again, not made anew (docs/decisions/0016)
        "wal_compression": "off",  # by pglz, all that the wheel has, a page costs more than to write it whole (docs/decisions/0012)
        "jit": "off",
        "autovacuum_naptime": "5s",  # a young database grows from nothing: its plans must not be those of empty tables for long
        "max_connections": "200",
        "log_error_verbosity": "terse",  # else the row that was refused is written to the log
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
)

START_TIMEOUT_S: Final = 300.0  # recovery after a crash replays up to max_wal_size
STOP_TIMEOUT_S: Final = 30.0
ORPHANS_S: Final = 2.0
"""How long the processes of a postmaster that died may take to end by themselves; in a checkpoint they would sync hundreds of files first."""
POLL_S: Final = 0.02
SERVER_LOG_BYTES_MAX: Final = 16 * 2**20
LOG_TAIL_CHARACTERS: Final = 1500

MAKE_DATABASE: Final = r"""
select 'create role welltimed login' where not exists (select from pg_roles where rolname = 'welltimed') \gexec
select 'create database welltimed owner welltimed' where not exists (select from pg_database where datname = 'welltimed') \gexec
"""


class EmbeddedPostgres:
    """A PostgreSQL server in a directory of its own, reached through a unix socket only that account and root may open.

    Several processes may start the same `root` at once and share one server. `settings` override SETTINGS and count
    for the process that happens to start the server. One object belongs to one thread.
    """

    def __init__(self, root: Path, *, bin_dir: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._root = root.absolute()
        self._data = self._root / "data"
        self._bin_dir = bin_dir
        self._settings = {**SETTINGS, **(settings or {})}
        self._users_lock: int | None = None
        self._server: PidFile | None = None

    def start(self) -> None:
        """Starts the server or joins the one that runs; again after a crash starts it anew. Makes database and role `welltimed`.

        Raises PostgresUnavailable: foreign directory, other major version, no binaries, no account, no answer.
        """
        try:
            bin_dir = find_binaries(self._bin_dir)
            claim(self._root)
            with start_lock(self._root):
                tools = reachable_tools(account_for(self._data), bin_dir, self._root)
                if not self._data.exists():
                    self._initialise(tools)
                self._require_same_major(tools)
                server = self._running_server(tools)
                self._make_database(tools, server)
                if self._users_lock is None:
                    self._users_lock = join_users(self._root)
                self._server = server
        except OSError as error:
            raise PostgresUnavailable(f"The embedded PostgreSQL in {self._root} does not start: {error}") from error

    def stop(self, *, force: bool = False) -> None:
        """Leaves the server and stops it when nobody else uses it, or in any case with `force`; a second call does nothing.

        Raises PostgresUnavailable when it does not end in time.
        """
        if self._users_lock is None and not force:
            return
        if not is_claimed(self._root):
            return
        try:
            with start_lock(self._root):
                is_last = self._users_lock is not None and leave_users(self._users_lock)
                self._users_lock = self._server = None
                if is_last or force:
                    self._end_server()
        except OSError as error:
            raise PostgresUnavailable(f"The embedded PostgreSQL in {self._root} does not stop: {error}") from error

    def is_alive(self) -> bool:
        """Whether the server answers; a cheap look that starts nothing."""
        pid_file = read_pid_file(self._data)
        return pid_file is not None and answers(pid_file)

    def dsn(self, database: str = ROLE, *, role: str = ROLE) -> str:
        """Where asyncpg connects; `role` is `welltimed` or, for making databases, SUPERUSER. Raises before `start`."""
        if self._server is None:
            raise PostgresUnavailable("The embedded PostgreSQL has not been started.")
        query = urlencode({"host": self._server.socket_dir, "port": self._server.port}, quote_via=quote)
        return f"postgresql://{quote(role, safe='')}@/{quote(database, safe='')}?{query}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _initialise(self, tools: Tools) -> None:
        for unfinished in self._root.glob("data.init*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        # A name of its own: the initdb of a killed process may still be writing to its directory.
        fresh = self._root / f"data.init-{secrets.token_hex(4)}"
        fresh.mkdir(mode=0o700)
        tools.account.own(fresh)
        durability = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        tools.run(
            "initdb",
            *("-D", fresh.name, "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--data-checksums"),
            *("--auth-local=trust", "--auth-host=reject"),
            *durability,
        )
        fresh.rename(self._data)
        _sync_directory(self._root)

    def _require_same_major(self, tools: Tools) -> None:
        version_file = self._data / "PG_VERSION"
        if not version_file.is_file():
            raise PostgresUnavailable(f"{self._data} holds no PostgreSQL data (no PG_VERSION): it was changed by hand.")
        made_by, offered = version_file.read_text().strip(), tools.major()
        if made_by != str(offered):
            raise PostgresUnavailable(
                f"{self._data} was made by PostgreSQL {made_by}, and {tools.bin_dir} holds PostgreSQL {offered}: "
                f"use the binaries of PostgreSQL {made_by}, move the data with pg_dump, or choose another data directory."
            )

    def _running_server(self, tools: Tools) -> PidFile:
        """The server that answers, started if none is alive. A live one that does not answer yet is waited for, orphans are ended."""
        deadline = time.monotonic() + START_TIMEOUT_S
        led_at = time.monotonic()
        while True:
            pids = processes_in(self._data, tools.account)
            server = read_pid_file(self._data)
            if not pids or (server is not None and server.pid in pids):
                led_at = time.monotonic()
            elif time.monotonic() - led_at > ORPHANS_S:
                _end_orphans(pids)
            if server is not None and server.is_ready and answers(server):
                if not pids:
                    raise PostgresUnavailable(
                        f"A server answers for {self._data} but none of its processes can be seen: is it in another container?"
                    )
                return server
            if not pids:
                self._launch(tools, deadline)
            elif time.monotonic() > deadline:
                raise PostgresUnavailable(
                    f"PostgreSQL in {self._data} (processes {pids}) does not answer:\n{self._log_tail()}"
                )
            else:
                time.sleep(POLL_S)

    def _launch(self, tools: Tools, deadline: float) -> None:
        sockets = socket_dir(self._root, tools.account)
        drop_stale_files(self._data, sockets)
        self._prepare_log(tools)
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise PostgresUnavailable(f"PostgreSQL in {self._data} ends as soon as it starts:\n{self._log_tail()}")
        settings = {
            **self._settings,
            "port": "5432",
            "listen_addresses": "",
            "unix_socket_directories": _as_list_element(str(sockets)),
            "unix_socket_permissions": "0700",
        }
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        # Relative paths, because pg_ctl puts them between double quotes of a shell.
        arguments = ("-D", "data", "-l", "server.log", "-w", "-t", str(max(1, int(left_s))), "-o", options, "start")
        try:
            tools.run("pg_ctl", *arguments, timeout_s=left_s + 10)
        except PostgresUnavailable as failure:
            raise PostgresUnavailable(f"{failure}\n{self._log_tail()}") from failure

    def _prepare_log(self, tools: Tools) -> None:
        log = self._root / "server.log"
        if log.exists() and log.stat().st_size > SERVER_LOG_BYTES_MAX:
            log.rename(self._root / "server.log.1")
        log.touch(mode=0o600)
        tools.account.own(log)

    def _make_database(self, tools: Tools, server: PidFile) -> None:
        where = ("-h", server.socket_dir, "-p", str(server.port), "-U", SUPERUSER, "-d", "postgres")
        tools.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *where, stdin=MAKE_DATABASE)

    def _end_server(self) -> None:
        """Fast shutdown, at the deadline an immediate one, which loses nothing but makes the next start replay the log."""
        account = account_for(self._data)
        for order, timeout_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, STOP_TIMEOUT_S)):
            deadline = time.monotonic() + timeout_s
            server = read_pid_file(self._data)
            pids = processes_in(self._data, account)
            if server is not None and server.pid in pids:
                with suppress(ProcessLookupError):  # it ended by itself
                    os.kill(server.pid, order)
            while pids and time.monotonic() < deadline:
                time.sleep(POLL_S)
                pids = processes_in(self._data, account)
            if not pids:
                discard_outside_sockets(self._root)
                return
        raise PostgresUnavailable(f"PostgreSQL in {self._data} (processes {pids}) does not stop:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        log = self._root / "server.log"
        return log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:] if log.exists() else ""


def _end_orphans(pids: Sequence[int]) -> None:
    """Nothing is lost: what a postmaster that died leaves behind is recovered from the log in any case."""
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, signal.SIGKILL)


def _as_list_element(text: str) -> str:
    # unix_socket_directories is a list: an element with a space or a comma stands between double quotes.
    return '"' + text.replace('"', '""') + '"'


def _sync_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
