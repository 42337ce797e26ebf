"""The server under test: started as anyone would start it, in a directory of its own, and removed with all its data."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import asyncpg
import msgspec

from loadtest import processes

READY_TIMEOUT_S: Final = 240.0
"""The first start after kernels have changed compiles them: half a minute, more on a busy machine."""
STOP_TIMEOUT_S: Final = 12.0
REMOVE_TRIES_MAX: Final = 10
LOG_TAIL_CHARACTERS: Final = 2_000
_PREFIX: Final = "WELLTIMED_"
_ROLE: Final = "welltimed"
_SUPERUSER: Final = "postgres"
CHECKPOINT_TIMEOUT_S: Final = 120.0


class NotServedError(Exception):
    """The server did not start, or did not stay."""


class Served(NamedTuple):
    """A running installation: `key` may do everything, `dsn` is its PostgreSQL, whose first process is `postgres_pid`."""

    port: int
    key: str
    supervisor_pid: int
    postgres_pid: int
    dsn: str

    def api_pids(self) -> tuple[int, ...]:
        """The API workers that live now."""
        return tuple(processes.children_with(self.supervisor_pid, ("serve", "--role", "api")))

    def background_pid(self) -> int:
        """The background worker."""
        return processes.child_with(self.supervisor_pid, ("serve", "--role", "worker"))


class _Ready(msgspec.Struct):
    url: str


async def checkpoint(served: Served) -> None:
    """As one that has been up for five minutes: files of PostgreSQL's log are used again and no longer made, which stalls all commits.

    Raises:
        TimeoutError: it took longer than CHECKPOINT_TIMEOUT_S.
    """
    connection = await asyncpg.connect(served.dsn, user=_SUPERUSER)
    try:
        await connection.execute("checkpoint", timeout=CHECKPOINT_TIMEOUT_S)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def serving(workers: int = 1) -> AsyncIterator[Served]:
    """Runs `welltimed serve` with so many API workers and its own PostgreSQL for as long as the context is.

    Raises:
        NotServedError: it was not ready within READY_TIMEOUT_S; with the end of its log.
    """
    data_dir = _new_dir()
    try:
        async with _process(data_dir, workers) as (process, key):
            yield await _ready(process, key, data_dir)
    finally:
        await _remove(data_dir)


async def _remove(data_dir: Path) -> None:
    """A process that is still on its way out may make a file anew while its directory is being removed."""
    for _ in range(REMOVE_TRIES_MAX):
        await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
        if not await asyncio.to_thread(data_dir.exists):
            return
        await asyncio.sleep(0.2)


def _new_dir() -> Path:
    made = Path(tempfile.mkdtemp(prefix="welltimed-load-"))
    made.chmod(0o711)  # PostgreSQL never runs as root: its account has to get through
    return made


@contextlib.asynccontextmanager
async def _process(data_dir: Path, workers: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    key = f"sk_{secrets.token_urlsafe(24)}"
    # Nothing of our own surroundings may point the test at somebody's database.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(_PREFIX)}
    with (data_dir / "serve.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(data_dir / "data")),
            *("--workers", str(workers), "--until-stdin-closes"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**inherited, _PREFIX + "BOOTSTRAP_KEY": key, _PREFIX + "LOG_LEVEL": "warning"},
        )
    try:
        yield process, key
    finally:
        await _stop(process, data_dir)


async def _ready(process: asyncio.subprocess.Process, key: str, data_dir: Path) -> Served:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            line = await process.stdout.readline()
        ready = msgspec.json.decode(line, type=_Ready)
    except (TimeoutError, msgspec.DecodeError) as error:
        tail = (data_dir / "serve.log").read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
        raise NotServedError(f"`welltimed serve` was not ready within {READY_TIMEOUT_S:.0f} s:\n{tail}") from error
    port = urlsplit(ready.url).port
    assert port is not None
    return Served(port, key, process.pid, int(_postmaster(data_dir)[0]), _dsn(data_dir))


async def _stop(process: asyncio.subprocess.Process, data_dir: Path) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    with contextlib.suppress(OSError, ValueError):  # it is still there only when its supervisor was killed
        os.kill(int(_postmaster(data_dir)[0]), signal.SIGINT)


def _dsn(data_dir: Path) -> str:
    """The unix socket of the server's own PostgreSQL, as its pid file tells it: line 4 the port, line 5 the directory."""
    lines = _postmaster(data_dir)
    return f"postgresql://{_ROLE}@/{_ROLE}?{urlencode({'host': lines[4], 'port': lines[3]}, quote_via=quote)}"


def _postmaster(data_dir: Path) -> list[str]:
    return (data_dir / "data" / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
