"""The real thing, started as a user would: `welltimed serve --virtual-clock` in a process of its own."""

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from schema.discreet import shown_without
from service.demo.data_dir import DataDir
from service.settings import PREFIX

START_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 40.0
_LOG: Final = "server.log"
_TAIL_LINES: Final = 20
_KEPT: Final = frozenset({"POSTGRES_BIN_DIR", "LOG_LEVEL"})
"""The only settings of the surroundings that count: a demo must never touch a real database or a real Firebase project."""


class ServerFailed(Exception):
    """The server ended or did not become ready; the message ends with its last words."""


class Addresses(msgspec.Struct, frozen=True):
    """What the server prints when it is ready."""

    url: str
    stand_in_url: str


class Server(NamedTuple):
    """A server that is ready, and a secret key that may do everything."""

    addresses: Addresses
    key: str
    process: subprocess.Popen[bytes]
    log: Path

    def __repr__(self) -> str:
        return shown_without(self, "key")


_READY: Final = msgspec.json.Decoder(Addresses)


@contextmanager
def running(data_dir: DataDir, seed: str) -> Iterator[Server]:
    """Starts a server for the block and ends it in order; it also ends when this process is killed.

    Raises:
        ServerFailed: it did not become ready.
    """
    key = f"sk_{secrets.token_urlsafe(32)}"
    log = data_dir.path / _LOG
    with log.open("wb") as words:
        process = _start(data_dir, seed, key, words)
    try:
        yield Server(_addresses(process, log), key, process, log)
    finally:
        _stop(process)


def last_words(log: Path) -> str:
    """The end of what the server has logged."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


def _start(data_dir: DataDir, seed: str, key: str, words: IO[bytes]) -> subprocess.Popen[bytes]:
    options = ["--virtual-clock", "--port", "0", "--data-dir", str(data_dir.path / "server"), "--seed", seed]
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "service.cli", "serve", "--until-stdin-closes", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        env=environment(key, os.environ),
        pass_fds=(data_dir.lock,),
        start_new_session=True,  # Ctrl-C is for the driver, which then ends the server in order
    )


def environment(key: str, surroundings: Mapping[str, str]) -> dict[str, str]:
    """What the server gets of its surroundings: no setting but those of _KEPT, and ours."""
    kept = {
        name: text
        for name, text in surroundings.items()
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) in _KEPT
    }
    ours = {f"{PREFIX}BOOTSTRAP_KEY": key, f"{PREFIX}STAND_IN_PORT": "0"}
    return {f"{PREFIX}LOG_LEVEL": "warning", **kept, **ours}


def _addresses(process: subprocess.Popen[bytes], log: Path) -> Addresses:
    if process.stdout is None:
        raise ServerFailed("the server has no standard output")
    too_late = threading.Timer(START_TIMEOUT_S, process.terminate)
    too_late.start()
    try:
        return _READY.decode(process.stdout.readline())
    except msgspec.DecodeError:
        raise ServerFailed(f"The server did not become ready. Its last words:\n{last_words(log)}") from None
    finally:
        too_late.cancel()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
