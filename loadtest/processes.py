"""What Linux tells of processes: who is whose child, and how much processor time one has used."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_AFTER_NAME = 2  # fields of /proc/PID/stat are counted from 1 and the name in parentheses is the second
_STATE, _PPID, _UTIME, _STIME = 3, 4, 14, 15


def cpu_s(pid: int) -> float:
    """Seconds of processor time a process has used in all its threads, user and kernel; exact to 1/100 s.

    Raises:
        OSError: there is no such process.
    """
    fields = _stat(pid)
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_S


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
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            is_child = int(_stat(int(entry.name))[_PPID]) == parent
        except OSError:  # it ended meanwhile
            continue
        if is_child:
            yield int(entry.name)


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
