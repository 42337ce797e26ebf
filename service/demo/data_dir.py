"""A fresh data directory for each run, gone when it ends; what a killed run left behind goes at the next start."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

PREFIX: Final = "welltimed-demo-"
_LOCK: Final = "demo.lock"
_UNLOCKED_GRACE_S: Final = 60.0
"""A directory without a lock this young is just being made."""


class DataDir(NamedTuple):
    """A directory and the descriptor of its lock, to be handed to the server: it is in use until both have ended."""

    path: Path
    lock: int


@contextmanager
def fresh(parent: Path | None = None) -> Iterator[DataDir]:
    """Makes a directory in `parent` (else where temporary files go), locked for the block and removed after it."""
    parent = parent or Path(tempfile.gettempdir())
    remove_leftovers(parent)
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    if os.geteuid() == 0:
        path.chmod(0o711)
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield DataDir(path, lock)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def remove_leftovers(parent: Path) -> list[Path]:
    """Removes the directories of runs whose processes are gone; those that were removed."""
    return [path for path in sorted(parent.glob(f"{PREFIX}*")) if _remove_if_left(path)]


def _remove_if_left(path: Path) -> bool:
    try:
        found = path.lstat()
        if found.st_uid != os.geteuid() or path.is_symlink():
            return False
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return _remove_if_old(path)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
    finally:
        os.close(lock)


def _remove_if_old(path: Path) -> bool:
    try:
        is_young = time.time() - path.lstat().st_mtime < _UNLOCKED_GRACE_S
    except FileNotFoundError:
        return False
    if not is_young:
        shutil.rmtree(path, ignore_errors=True)
    return not is_young
