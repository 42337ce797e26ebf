"""A backup becomes the database of an installation again, and nothing that may have been sent since is sent twice (docs/operations.md)."""

import asyncio
import secrets
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from push import restored
from service.operations import backup
from service.operations.backup import CLUSTER, BackupError
from service.store import administration, fingerprint
from service.store.account import account_for
from service.store.data_root import claim
from service.store.embedded import EmbeddedPostgres
from service.store.fingerprint import Fingerprint

# Transactions are numbered by the server: restored as SQL into another one, rows seem to be of its future, and every refit would read all of
# them twice, the second time while the learners wait. A copy of the files keeps the numbers, and this finds nothing.
_FORGET_NUMBERS: Final = """
    update exposures set counted_by = null where counted_by >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""


class Report(msgspec.Struct, frozen=True):
    """What was found in the database, and what was settled so that nothing is sent twice."""

    fingerprint: Fingerprint
    settled: restored.Restored


def restore(folder: Path, root: Path, bin_dir: Path | None) -> Report:
    """Makes the backup in `folder` the embedded PostgreSQL of `root`, which must not exist.

    Raises BackupError: there is a database in `root`, or no backup in `folder`; PostgresUnavailable and MigrationError as at any start.
    Whatever fails, `root` is not there then.
    """
    described = backup.read(folder)
    if root.exists():
        raise BackupError(
            f"{root} exists, and no database is ever overwritten: move it away, or name another data directory."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    unfinished = root.with_name(f"{root.name}.{secrets.token_hex(4)}")
    try:
        claim(unfinished)
        _copy(folder / CLUSTER, unfinished, bin_dir, described.postgres_major)
        with EmbeddedPostgres(unfinished, bin_dir=bin_dir) as server:
            report = settle(server.dsn(), f"restored from a backup of {described.begun_at:%Y-%m-%d %H:%M} UTC")
        unfinished.rename(root)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return report


def _copy(cluster: Path, root: Path, bin_dir: Path | None, major: int) -> None:
    """The cluster, as the account that will run it owns it, and checked against the sums taken at the backup."""
    tools = backup.tools_of(root, bin_dir)
    if tools.major() != major:
        raise BackupError(
            f"The backup is of PostgreSQL {major}, and {tools.bin_dir} holds PostgreSQL {tools.major()}: "
            f"name binaries of PostgreSQL {major} in WELLTIMED_POSTGRES_BIN_DIR."
        )
    data = root / CLUSTER
    account = account_for(data)
    shutil.copytree(cluster, data, symlinks=True)
    for path in [data, *data.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)
        account.own(path)
    tools.run("pg_verifybackup", "--quiet", CLUSTER, timeout_s=backup.COPY_TIMEOUT_S)


def settle(dsn: str, reason: str) -> Report:
    """Stops sending and settles what may have been sent, in a database that was restored by whatever means, brought up to date first."""
    return asyncio.run(administration.on_connection(dsn, lambda connection: _settle(connection, reason)))


async def _settle(connection: Any, reason: str) -> Report:
    found = await fingerprint.read(connection)
    async with connection.transaction():
        await connection.execute(_FORGET_NUMBERS)
        now = await administration.present(connection)
        settled = await restored.settle(connection, now, administration.operator(), reason)
    return Report(found, settled)
