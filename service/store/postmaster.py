"""Is a server alive in this data directory? Its pid file, its processes, and whether it answers."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.store.account import Account
from service.store.unavailable import PostgresUnavailable

SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
ANSWER_TIMEOUT_S: Final = 2.0
PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class PidFile:
    """What postmaster.pid says: process, port and directory of the socket; `is_ready` once it takes connections."""

    pid: int
    port: int
    socket_dir: str
    is_ready: bool


def read_pid_file(data: Path) -> PidFile | None:
    try:
        lines = (data / "postmaster.pid").read_text().split("\n")
    except FileNotFoundError:
        return None
    try:  # it is written line by line
        return PidFile(int(lines[0]), int(lines[3]), lines[4], lines[7].strip() == "ready")
    except (IndexError, ValueError):
        return PidFile(0, 0, "", is_ready=False)


def processes_in(data: Path, account: Account) -> list[int]:
    """Pids of the live PostgreSQL processes that work in `data`, backends that outlived their postmaster included.

    Every PostgreSQL process has `data` as its working directory: a pid alone may have passed to a stranger.
    Raises PostgresUnavailable on a system without /proc.
    """
    if not (PROC / "self").exists():
        raise PostgresUnavailable(
            "The embedded PostgreSQL needs Linux's /proc: name a server in WELLTIMED_DATABASE_URL."
        )
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _is_postgres(pid) and _works_in(pid, data, account)]


def _is_postgres(pid: int) -> bool:
    try:
        return (PROC / str(pid) / "comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _works_in(pid: int, data: Path, account: Account) -> bool:
    cwd = PROC / str(pid) / "cwd"
    try:
        return cwd.samefile(data)
    except PermissionError:
        # Root in a container has no CAP_SYS_PTRACE and may not look at another account's process; that account may.
        return account.is_dropped and account.is_true(str(cwd), "-ef", str(data))
    except OSError:
        return False


def answers(pid_file: PidFile) -> bool:
    """A round trip with the server: `pg_ctl status` also says yes to a dying postmaster and to a reused pid."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(f"{pid_file.socket_dir}/.s.PGSQL.{pid_file.port}")
            connection.sendall(SSL_REQUEST)
            return connection.recv(1) in {b"N", b"S"}
        except OSError:
            return False


def drop_stale_files(data: Path, sockets: Path) -> None:
    """Removes the lock files of a dead server, whose pid may belong to somebody else by now: PostgreSQL would refuse to start.

    The caller holds the start lock and has seen that no process works in `data`.
    """
    (data / "postmaster.pid").unlink(missing_ok=True)
    for left in sockets.glob(".s.PGSQL.*"):
        left.unlink()
