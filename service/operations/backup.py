"""A backup of the embedded PostgreSQL while it is in use: all of it as of one instant, checked, in a directory of its own."""

import asyncio
import os
import secrets
import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from service.store import fingerprint
from service.store.account import Tools, account_for, reachable_tools
from service.store.binaries import find_binaries
from service.store.data_root import start_lock
from service.store.embedded import SUPERUSER, EmbeddedPostgres
from service.store.fingerprint import Fingerprint
from service.store.migrate import APPLIED

DESCRIPTION: Final = "welltimed-backup.json"
CLUSTER: Final = "data"
FORMAT: Final = 1
COPY_TIMEOUT_S: Final = 86_400.0


class BackupError(Exception):
    """No backup was made, or none was restored; the message says why, and nothing was changed."""


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lies beside the files of a backup. The fingerprint was read just before: the backup has that and whatever came until it ended."""

    format: int
    begun_at: datetime
    program: str
    postgres_major: int
    migration: str
    size_bytes: int
    fingerprint: Fingerprint


_DESCRIPTION: Final = msgspec.json.Decoder(Description)


def read(folder: Path) -> Description:
    """What a backup says of itself. Raises BackupError: there is none, or it is of a later program."""
    try:
        return _DESCRIPTION.decode((folder / DESCRIPTION).read_bytes())
    except OSError as error:
        raise BackupError(f"{folder} holds no backup of welltimed: {error}") from None
    except msgspec.DecodeError as error:
        raise BackupError(f"{folder / DESCRIPTION} is damaged, or of a later program: {error}") from None


def take(server: EmbeddedPostgres, root: Path, to: Path, bin_dir: Path | None) -> Description:
    """Copies the running `server` in `root` to the directory `to`, which must not exist; readers and writers go on meanwhile.

    Raises BackupError when `to` exists or cannot be used, PostgresUnavailable when PostgreSQL's tools fail; `to` is then not there.
    """
    tools = tools_of(root, bin_dir)
    if to.exists():
        raise BackupError(f"{to} exists: name a directory that does not exist yet.")
    to = to.absolute()
    if not to.parent.is_dir():
        raise BackupError(f"{to.parent} is not a directory.")
    if not tools.account.is_true("-x", str(to.parent)):
        raise BackupError(
            f"PostgreSQL runs as account {tools.account.name}, which cannot reach {to.parent}: choose a directory outside of private homes."
        )
    unfinished = to.parent / f".{to.name}.{secrets.token_hex(4)}"
    try:
        unfinished.mkdir(mode=0o700)
        tools.account.own(unfinished)
        described = asyncio.run(_described(server, tools))
        _copy(server, tools, unfinished / CLUSTER)
        described = msgspec.structs.replace(described, size_bytes=_size_bytes(unfinished))
        _write(unfinished / DESCRIPTION, msgspec.json.format(msgspec.json.encode(described)))
        unfinished.rename(to)
    except OSError as error:
        raise BackupError(f"{to} cannot be written: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return described


def tools_of(root: Path, bin_dir: Path | None) -> Tools:
    """PostgreSQL's programs, as its account in `root` runs them."""
    with start_lock(root):
        return reachable_tools(account_for(root / CLUSTER), find_binaries(bin_dir), root)


async def _described(server: EmbeddedPostgres, tools: Tools) -> Description:
    connection = await asyncpg.connect(server.dsn())
    try:
        return Description(
            format=FORMAT,
            begun_at=datetime.now(UTC),
            program=version("welltimed"),
            postgres_major=tools.major(),
            migration=max(row[0] for row in await connection.fetch(APPLIED)),
            size_bytes=0,
            fingerprint=await fingerprint.read(connection),
        )
    finally:
        await connection.close()


def _copy(server: EmbeddedPostgres, tools: Tools, to: Path) -> None:
    where = ("-d", server.dsn("postgres", role=SUPERUSER), "-D", str(to))
    tools.run("pg_basebackup", *where, "-X", "stream", "-c", "fast", "--no-password", timeout_s=COPY_TIMEOUT_S)
    tools.run("pg_verifybackup", "--quiet", str(to), timeout_s=COPY_TIMEOUT_S)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _write(path: Path, text: bytes) -> None:
    with path.open("xb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
