"""The directory that holds an embedded PostgreSQL: made by us or refused, its socket directory, its two locks."""

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from service.store.account import Account
from service.store.unavailable import PostgresUnavailable

MARKER: Final = ".welltimed-postgres"
LOCK_TIMEOUT_S: Final = 300.0
SOCKET_PATH_BYTES_MAX: Final = 85  # the limit of the system is 104 to 108, with the name of the socket


def claim(root: Path) -> None:
    """Makes `root`, or recognises it by our marker; nothing about a directory that is not ours is ever changed.

    Raises PostgresUnavailable when it exists without the marker or belongs to another account.
    """
    if not root.exists():
        _create(root)
    if not is_claimed(root):
        raise PostgresUnavailable(
            f"{root} exists and was not made by welltimed, so it is left alone: name a directory that does not exist yet."
        )
    owner = root.stat().st_uid
    if owner != os.geteuid():
        raise PostgresUnavailable(
            f"{root} belongs to the account with uid {owner} and welltimed runs as {os.geteuid()}: run it as its owner, or choose another data directory."
        )


def is_claimed(root: Path) -> bool:
    return (root / MARKER).is_file()


def _create(root: Path) -> None:
    # As root another account must pass through what we make; without a right to list it.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for parent in reversed([folder for folder in root.parents if not folder.exists()]):
        parent.mkdir(exist_ok=True)
        parent.chmod(mode)
    # Made aside and renamed: whoever sees the directory sees its marker, also when several make it at once.
    made = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    made.chmod(mode)
    marker = made / MARKER
    marker.write_text(
        "This directory belongs to welltimed's embedded PostgreSQL. Stop welltimed before you touch it.\n"
    )
    try:
        made.rename(root)
    except OSError:  # another process was first; the caller looks at its marker
        marker.unlink()
        made.rmdir()


def socket_dir(root: Path, account: Account) -> Path:
    """The directory of the socket, 0700 and owned by `account`: in `root`, or in /tmp when the path is too long for a socket.

    Raises PostgresUnavailable when somebody else made that directory.
    """
    folder = _socket_place(root)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or stat.S_IMODE(found.st_mode) != 0o700
        or found.st_uid not in {os.geteuid(), account.uid}
    ):
        raise PostgresUnavailable(f"{folder} was made by somebody else: remove it, or choose a shorter data directory.")
    account.own(folder)
    return folder


def discard_outside_sockets(root: Path) -> None:
    """Leaves nothing in /tmp behind a stopped server."""
    folder = _socket_place(root)
    if folder.parent != root:
        with suppress(OSError):  # gone, or not ours
            folder.rmdir()


def _socket_place(root: Path) -> Path:
    folder = root / "sock"
    # asyncpg splits a host at commas.
    if len(os.fsencode(folder)) <= SOCKET_PATH_BYTES_MAX and "," not in str(folder):
        return folder
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path("/tmp") / f"welltimed-{name}"  # noqa: S108 - socket_dir checks owner and mode


@contextmanager
def start_lock(root: Path, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Holds the lock under which a server is made, started and stopped; the kernel frees it when its holder dies."""
    lock = _open_lock(root / "start.lock")
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise PostgresUnavailable(f"Another process has held {root / 'start.lock'} for {timeout_s:.0f} s.")
            time.sleep(0.02)
        yield
    finally:
        os.close(lock)


def join_users(root: Path) -> int:
    """Counts us among the users of the server: a shared lock, freed by the kernel also after kill -9."""
    lock = _open_lock(root / "users.lock")
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def leave_users(lock: int) -> bool:
    """Gives the lock of `join_users` back, under the start lock; True when nobody else uses the server."""
    is_last = _try_lock(lock, fcntl.LOCK_EX)
    os.close(lock)
    return is_last


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
