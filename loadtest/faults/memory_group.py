"""A limit on the memory of some processes and all that they start, by a control group of its own (cgroup v1 or v2)."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_V1: Final = Path("/sys/fs/cgroup/memory")
_V2: Final = Path("/sys/fs/cgroup")
_EMPTY_S: Final = 20.0


class NotPermittedError(Exception):
    """No group with a limit can be made here; says why."""


class MemoryGroup:
    """`bytes_max` for all of them together; who wants more is killed by the kernel."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._is_v1 = (folder / "memory.limit_in_bytes").exists()
        self.bytes_max = bytes_max
        (folder / ("memory.limit_in_bytes" if self._is_v1 else "memory.max")).write_text(str(bytes_max))

    def join(self, pids: list[int]) -> None:
        """What these take from now on, and all that they start, counts."""
        for pid in pids:
            (self._folder / "cgroup.procs").write_text(str(pid))

    @property
    def bytes_most(self) -> int:
        """The most that was taken at any time."""
        return int((self._folder / ("memory.max_usage_in_bytes" if self._is_v1 else "memory.peak")).read_text())

    @property
    def kills(self) -> int:
        """How often the kernel has killed one of them for it."""
        lines = (self._folder / ("memory.oom_control" if self._is_v1 else "memory.events")).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[0] == "oom_kill")


@contextlib.contextmanager
def made(bytes_max: int) -> Iterator[MemoryGroup]:
    """One for as long as the context is; by its end its processes must have ended. Raises NotPermittedError."""
    is_v1 = (_V1 / "memory.limit_in_bytes").exists()
    folder = (_V1 if is_v1 else _V2) / f"welltimed-faults-{os.getpid()}"
    try:
        if not is_v1:
            (_V2 / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
    except OSError as error:
        raise NotPermittedError(f"no control group can be made: {error}") from error
    try:
        try:
            group = MemoryGroup(folder, bytes_max)
        except OSError as error:
            raise NotPermittedError(f"no limit can be set: {error}") from error
        yield group
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _EMPTY_S
    while True:
        try:
            folder.rmdir()
        except OSError:  # the last of them is on its way out
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
