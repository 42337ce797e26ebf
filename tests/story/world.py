"""A real `welltimed serve` of a test's own: started as a user would, looked at through /proc, stopped or killed."""

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from service.store.account import account_for
from service.store.postmaster import processes_in, read_pid_file

REPOSITORY: Final = Path(__file__).parents[2]
READY_S: Final = 60.0
STOP_S: Final = 25.0
LOOK_EVERY_S: Final = 0.02
_PROC: Final = Path("/proc")


class Serve:
    """One supervisor with all it has started. `postgres_root` may be shared with others, and outlives it then."""

    def __init__(
        self, data_dir: Path, *options: str, key: str = "", pg_bin: Path | None = None, **settings: str
    ) -> None:
        self.data_dir = data_dir
        self.key = key or f"sk_{secrets.token_hex(20)}"
        self.log = data_dir.parent / f"serve-{secrets.token_hex(4)}.log"
        variables = (
            {"BOOTSTRAP_KEY": self.key, "POSTGRES_BIN_DIR": str(pg_bin)} if pg_bin else {"BOOTSTRAP_KEY": self.key}
        )
        variables |= settings
        with self.log.open("wb") as words:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", "0", "--data-dir", str(data_dir), *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=words,
                env=environment(**variables),
                cwd=REPOSITORY,
            )
        self.url = self.stand_in_url = ""

    @property
    def postgres_root(self) -> Path:
        return self.data_dir / "postgres"

    def wait_until_ready(self) -> None:
        """Takes the addresses from the line of JSON."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline() if readable else b""
        assert line, self.words()
        told = json.loads(line)
        self.url, self.stand_in_url = told["url"], told["stand_in_url"]

    def words(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def client(self) -> httpx.Client:
        """Speaks with the admin's key."""
        return httpx.Client(base_url=self.url, headers=self.headers, trust_env=False, timeout=20)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def dsn(self) -> str:
        """Where the embedded PostgreSQL is reached."""
        return dsn_of(self.postgres_root)

    def children(self, role: str = "") -> list[int]:
        """Live processes that this supervisor has started, of one role (api, worker, drawer, stand-in) or of all."""
        return [pid for pid in _children_of(self.process.pid) if not role or f"--role\0{role}\0" in _command_of(pid)]

    def stop(self) -> float:
        """SIGTERM; the seconds it took to end with everything that was its own."""
        children, begun = self.children(), time.monotonic()
        self.process.terminate()
        assert self.process.wait(STOP_S) == 0, self.words()
        wait_until_gone(children, 1.0)
        return time.monotonic() - begun

    def kill(self) -> list[int]:
        """kill -9 of the supervisor alone; gives the children it leaves behind."""
        children = self.children()
        self.process.kill()
        self.process.wait()
        return children

    def end(self) -> None:
        """Whatever state it is in."""
        children = self.children()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in children:
            kill(pid)
        if self.process.stdout is not None:
            self.process.stdout.close()


COMMAND: Final = (sys.executable, "-m", "service.cli")


def environment(**variables: str) -> dict[str, str]:
    """Ours without settings of the surroundings, and with these."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("WELLTIMED_")}
    return plain | {f"WELLTIMED_{name}": text for name, text in variables.items()}


@contextmanager
def serving(
    data_dir: Path, *options: str, key: str = "", pg_bin: Path | None = None, **settings: str
) -> Iterator[Serve]:
    """A server that is ready, and gone after the block; settings by name, as PORT="8000"."""
    serve = Serve(data_dir, *options, key=key, pg_bin=pg_bin, **settings)
    try:
        serve.wait_until_ready()
        yield serve
    finally:
        serve.end()


def dsn_of(postgres_root: Path) -> str:
    """The embedded PostgreSQL that runs there."""
    found = read_pid_file(postgres_root / "data")
    assert found is not None
    return f"postgresql://welltimed@/welltimed?host={found.socket_dir}&port={found.port}"


def postgres_processes(postgres_root: Path) -> list[int]:
    """The postmaster, its backends and what else works in that data directory."""
    data = postgres_root / "data"
    return processes_in(data, account_for(data))


def postmaster(postgres_root: Path) -> int:
    found = read_pid_file(postgres_root / "data")
    assert found is not None
    return found.pid


def kill(pid: int) -> None:
    """kill -9, also of what has just ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until_gone(pids: Collection[int], timeout_s: float) -> None:
    """Fails when one of them is still there."""
    deadline = time.monotonic() + timeout_s
    while left := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() < deadline, f"still there: {[_command_of(pid) for pid in left]}"
        time.sleep(LOOK_EVERY_S)


def wait_until(true: Any, timeout_s: float, what: str) -> None:
    """Asks `true()` until it is."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(LOOK_EVERY_S)


def _is_alive(pid: int) -> bool:
    state = _stat_of(pid)
    return state is not None and state[0] not in "ZX"


def _stat_of(pid: int) -> list[str] | None:
    """State, parent and the rest; None when it is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _children_of(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    found = [(pid, _stat_of(pid)) for pid in pids]
    return [pid for pid, stat in found if stat is not None and stat[0] not in "ZX" and int(stat[1]) == parent]


def _command_of(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_text()
    except OSError:
        return ""
