"""The installation that faults are done to: started as anyone would start it, its processes known by /proc, killed by pid alone."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from loadtest import processes

READY_TIMEOUT_S: Final = 300.0
STOP_TIMEOUT_S: Final = 40.0
REMOVE_TRIES_MAX: Final = 20
LOG_TAIL_CHARACTERS: Final = 3_000
DRAWERS: Final = 1
"""As `serve` has it where no setting says otherwise."""

_PREFIX: Final = "WELLTIMED_"
_ROLE: Final = "welltimed"


class NotServedError(Exception):
    """The server did not start, or its PostgreSQL is not there."""


class _Ready(msgspec.Struct):
    url: str
    stand_in_url: str | None = None


class Installation:
    """`welltimed serve` with all that it has started. `key` may do everything."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        folder: Path,
        key: str,
        ready: _Ready,
        workers: int,
        drawers: int,
        database: str = "",
    ) -> None:
        self.key = key
        self.workers = workers
        self.drawers = drawers
        self.port = _port(ready.url)
        self.stand_in_port = _port(ready.stand_in_url or "")
        self.folder = folder
        self._process = process
        self._database = database

    @property
    def data_dir(self) -> Path:
        """Its own, for as long as it runs."""
        return self.folder / "data"

    @property
    def dsn(self) -> str:
        """Where its PostgreSQL is reached, by whatever road it takes itself. Raises NotServedError while there is none."""
        if self._database:
            return self._database
        lines = self._postmaster()
        if len(lines) < 5:
            raise NotServedError("PostgreSQL does not run")
        query = urlencode({"host": lines[4], "port": lines[3]}, quote_via=quote)
        return f"postgresql://{_ROLE}@/{_ROLE}?{query}"

    def pids(self, role: str) -> list[int]:
        """Its processes of a role: api, worker, drawer, stand-in; postmaster; or postgres, the postmaster and its children."""
        if role not in {"postmaster", "postgres"}:
            return processes.children_with(self._process.pid, ("serve", "--role", role))
        lines = self._postmaster()
        if not lines or not lines[0].isdigit():
            return []
        postmaster = int(lines[0])
        if not processes.is_running(postmaster, "postgres"):
            return []
        return [postmaster] if role == "postmaster" else [postmaster, *processes.children_with(postmaster, ())]

    def all_pids(self) -> list[int]:
        """The supervisor, and all that it has started; not PostgreSQL, which ends up as nobody's child."""
        return [self._process.pid, *processes.children_with(self._process.pid, ())]

    def log_tail(self) -> str:
        """The end of what it has logged."""
        return (self.folder / "serve.log").read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def _postmaster(self) -> list[str]:
        """Lines of its pid file: the pid first, the port fourth, the directory of the socket fifth; none when there is none."""
        with contextlib.suppress(OSError):
            return (self.data_dir / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
        return []


def kill(pid: int) -> None:
    """By SIGKILL, also of what has just ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def serving(workers: int, settings: Mapping[str, str] | None = None) -> AsyncIterator[Installation]:
    """Runs `welltimed serve` in a new directory for as long as the context is; `settings` by their names without the prefix.

    Raises:
        NotServedError: it was not ready within READY_TIMEOUT_S; with the end of its log.
    """
    async with fresh_folder() as folder, running(folder, workers, settings or {}) as installation:
        yield installation


@contextlib.asynccontextmanager
async def fresh_folder() -> AsyncIterator[Path]:
    """A directory for `running`, removed with all that is in it when the context ends."""
    folder = _new_dir()
    try:
        yield folder
    finally:
        await _remove(folder)


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    workers: int,
    settings: Mapping[str, str],
    database: str = "",
    surroundings: Mapping[str, str] | None = None,
) -> AsyncIterator[Installation]:
    """As `serving`, in a directory of the caller's; `database` is where we reach a PostgreSQL that is not its own.

    `surroundings` are variables that are not of the program.
    """
    key = f"sk_{secrets.token_urlsafe(24)}"
    # Nothing of our own surroundings may point the faults at somebody's database.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(_PREFIX)}
    told = {"BOOTSTRAP_KEY": key, "LOG_LEVEL": "warning", **settings}
    with (folder / "serve.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(folder / "data")),
            *("--workers", str(workers), "--until-stdin-closes"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**inherited, **(surroundings or {}), **{_PREFIX + name: text for name, text in told.items()}},
        )
    installation: Installation | None = None
    try:
        ready = await _ready(process, folder)
        drawers = int(settings.get("DRAWERS", DRAWERS))
        installation = Installation(process, folder, key, ready, workers, drawers, database)
        yield installation
    finally:
        await _stop(process)
        for pid in installation.pids("postmaster") if installation else ():  # its supervisor did not end in order
            os.kill(pid, signal.SIGQUIT)


async def _ready(process: asyncio.subprocess.Process, folder: Path) -> _Ready:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            line = await process.stdout.readline()
        return msgspec.json.decode(line, type=_Ready)
    except (TimeoutError, msgspec.DecodeError) as error:
        tail = (folder / "serve.log").read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]
        raise NotServedError(f"`welltimed serve` was not ready within {READY_TIMEOUT_S:.0f} s:\n{tail}") from error


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _new_dir() -> Path:
    made = Path(tempfile.mkdtemp(prefix="welltimed-faults-"))
    made.chmod(0o711)  # PostgreSQL never runs as root: its account has to get through
    return made


async def _remove(folder: Path) -> None:
    """A process that is still on its way out may make a file anew while its directory is being removed."""
    for _ in range(REMOVE_TRIES_MAX):
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        if not await asyncio.to_thread(folder.exists):
            return
        await asyncio.sleep(0.2)


def _port(url: str) -> int:
    return urlsplit(url).port or 0
