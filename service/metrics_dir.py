"""Where the processes of a supervisor keep the files of their counters (service/exposition.py): in memory, where there is some."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - what is made there is ours alone, by a name nobody knows before
MEMORY_BYTES_MIN: Final = 16 * 2**20
"""Several times what all processes together take."""
_PREFIX: Final = "welltimed-metrics-"
_YOUNG_S: Final = 60.0
"""One that was made just now may not be held yet."""


@contextmanager
def made(data_dir: Path) -> Iterator[Path]:
    """An empty directory of ours alone, gone when the context ends.

    The files are mapped: where the disk is full, a process that touches a new page of one is ended by the kernel (SIGBUS). So they are
    kept in memory; where there is little of it, in `data_dir`.
    """
    root = _root(data_dir)
    _discard_left(root)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _root(data_dir: Path) -> Path:
    with suppress(OSError):
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES_MIN:
            return MEMORY
    data_dir.mkdir(parents=True, exist_ok=True)
    return data_dir


def _discard_left(root: Path) -> None:
    """Those of supervisors that were killed: nobody holds them."""
    for left in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or held, or gone
            found = left.lstat()
            if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG_S:
                continue
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)
