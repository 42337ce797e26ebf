"""What Numba's cache does not do: drop what has gone stale (it looks at the caller's file, not at the files it calls), and compile only once
when several processes start at the same time.
"""

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

IMPORTED: Final = re.compile(r"^from bandits\.kernels\.(\w+) import", re.MULTILINE)


def drop_stale(folder: Path) -> None:
    """Remove each cache index in `folder`/__pycache__ that is older than its source or any kernel file it imports.

    Processes that start at once may do this together; what they have loaded already stays as it is.
    """
    sources = {path.stem: path for path in folder.glob("*.py")}
    imports = {name: set(IMPORTED.findall(path.read_text("utf-8"))) for name, path in sources.items()}
    changed_at = {name: path.stat().st_mtime for name, path in sources.items()}
    for index in folder.glob("__pycache__/*.nbi"):
        newest = max((changed_at[name] for name in _reachable(index.name.partition(".")[0], imports)), default=0.0)
        with suppress(FileNotFoundError):  # another process was quicker
            if index.stat().st_mtime < newest:
                index.unlink()


def _reachable(name: str, imports: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = {name} & imports.keys()
    while waiting:
        seen |= waiting
        waiting = set[str]().union(*(imports[each] for each in waiting)) & imports.keys() - seen
    return seen


@contextmanager
def compiled_once(function: Callable[..., Any]) -> Iterator[None]:
    """Unless `function` is in the cache, lets one process in at a time: those who waited find it compiled.

    Where the folder cannot be written to nothing can be cached, and nobody waits.
    """
    source = Path(function.__code__.co_filename)
    folder = source.parent / "__pycache__"
    if any(folder.glob(f"{source.stem}.{function.__qualname__}-*.nbi")):
        yield
        return
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "compiling.lock").open("w")
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
