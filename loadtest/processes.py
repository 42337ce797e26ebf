"""What Linux tells of processes: who is whose child, how much processor time and memory each has used, how busy the machine is."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_AFTER_NAME = 2  # fields of /proc/PID/stat are counted from 1 and the name in parentheses is the second
_STATE, _PPID, _CUTIME, _CSTIME = 3, 4, 16, 17
_IDLE, _IOWAIT, _STEAL = 3, 4, 7  # of the first line of /proc/stat, the word before them left out


class Machine(NamedTuple):
    """Seconds that all cores together were idle, and that a hypervisor gave to others, since the machine started."""

    idle_s: float
    stolen_s: float


def cpu_s(pid: int) -> float:
    """Seconds of processor time a process has used in the threads that it still has, user and kernel, by the scheduler's own count.

    Raises:
        OSError: there is no such process.
    """
    return 1e-9 * sum(_ran_ns(task) for task in (_PROC / str(pid) / "task").iterdir())


def _ran_ns(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:  # it ended meanwhile
        return 0


def tree_cpu_s(root: int) -> float:
    """The same of a process, its children and theirs; of those that have ended and were waited for to 1/100 s.

    Raises:
        OSError: there is no such process.
    """
    seen = dict(_all_stats())
    if root not in seen:
        raise ProcessLookupError(root)
    return sum(_cpu_s(pid, seen[pid]) for pid in _tree(root, seen))


def others_cpu_s(*roots: int) -> float:
    """The same of all processes that are none of these nor descend from them, the kernel's too."""
    seen = dict(_all_stats())
    ours = set[int]().union(*(_tree(root, seen) for root in roots))
    return sum(_cpu_s(pid, seen[pid]) for pid in seen.keys() - ours)


def threads(*roots: int) -> list[int]:
    """The threads that these processes and their descendants have now, by their ids."""
    seen = dict(_all_stats())
    found: list[int] = []
    for pid in set[int]().union(*(_tree(root, seen) for root in roots)):
        with contextlib.suppress(OSError):  # it ended meanwhile
            found += [int(task.name) for task in (_PROC / str(pid) / "task").iterdir()]
    return found


def _tree(root: int, seen: dict[int, list[str]]) -> set[int]:
    children = defaultdict[int, list[int]](list)
    for pid, fields in seen.items():
        children[int(fields[_PPID])].append(pid)
    found, new = set[int](), [root]
    while new:
        pid = new.pop()
        found.add(pid)
        new += children[pid]
    return found


def _cpu_s(pid: int, fields: list[str]) -> float:
    """Of a process, and of those of its children that have ended and were waited for."""
    ended_s = (int(fields[_CUTIME]) + int(fields[_CSTIME])) / _TICKS_PER_S
    try:
        return ended_s + cpu_s(pid)
    except OSError:  # it ended meanwhile
        return ended_s


def resident_bytes(pid: int) -> int:
    """Memory of its own a process holds: anonymous pages, neither files nor what it shares.

    Raises:
        OSError: there is no such process.
    """
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def machine() -> Machine:
    """How busy the machine has been."""
    fields = [int(field) / _TICKS_PER_S for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    return Machine(fields[_IDLE] + fields[_IOWAIT], fields[_STEAL])


def child_with(parent: int, words: tuple[str, ...]) -> int:
    """The pid of the child of `parent` whose command line holds `words` one after the other.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = children_with(parent, words)
    if len(found) != 1:
        raise LookupError(f"{len(found)} children of {parent} run {' '.join(words)}")
    return found[0]


def children_with(parent: int, words: tuple[str, ...]) -> list[int]:
    """The pids of the children of `parent` whose command lines hold `words` one after the other, dead ones left out."""
    return [pid for pid in _children(parent) if not _is_dead(pid) and _holds(_command_line(pid), words)]


def is_running(pid: int, name: str) -> bool:
    """Whether this process lives and is of that name: a pid alone may have passed to a stranger."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip() == name and not _is_dead(pid)
    except OSError:
        return False


def _is_dead(pid: int) -> bool:
    try:
        return _stat(pid)[_STATE] in {"Z", "X"}
    except OSError:
        return True


def _children(parent: int) -> Iterator[int]:
    return (pid for pid, fields in _all_stats() if int(fields[_PPID]) == parent)


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat(int(entry.name))
        except OSError:  # it ended meanwhile
            continue
        yield int(entry.name), fields


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat, numbered as in proc(5); the name may hold blanks and parentheses."""
    rest = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return [""] * (_AFTER_NAME + 1) + rest


def _command_line(pid: int) -> tuple[str, ...]:
    try:
        return tuple((_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0"))
    except OSError:
        return ()


def _holds(line: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return any(line[at : at + len(words)] == words for at in range(len(line)))
