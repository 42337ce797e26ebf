"""Snapshots in PostgreSQL: dense versions, a checksum each, and a notification when a new one is there."""

import zlib
from datetime import UTC, datetime
from typing import Any, Final

from schema.snapshot import DECODER, ENCODER, Snapshot

CHANNEL: Final = "snapshot"

_PUBLISH: Final = """
    with added as (
        insert into snapshots (version, published_at, crc32, body)
        select $1, $2, $3, $4 where $1 = (select coalesce(max(version), 0) + 1 from snapshots)
        on conflict (version) do nothing
        returning version
    )
    select pg_notify('snapshot', version::text) from added
"""
_LATEST: Final = "select version, crc32, body from snapshots order by version desc limit 1"
_NEWEST: Final = "select coalesce(max(version), 0) from snapshots"
_LOAD: Final = "select version, crc32, body from snapshots where version = $1"
# A snapshot is used until the next one is published; the newest has no next one, and one that is pinned is used still. Only the
# oldest are looked at.
_PURGE: Final = """
    delete from snapshots where version in (
        select version from (
            select version, lead(published_at) over (order by version) as replaced_at
              from (select version, published_at from snapshots order by version limit $2) oldest) aged
         where replaced_at < $1
           and version is distinct from (select version from snapshot_pins order by pin_id desc limit 1))
    returning version
"""
_PURGE_MAX: Final = 2_000


class SnapshotMissingError(LookupError):
    """No such version: never published, or purged."""


class SnapshotDamagedError(ValueError):
    """The stored body is not what was published."""


async def publish(connection: Any, snapshot: Snapshot) -> bool:
    """Stores a snapshot and wakes who listens; False when its version is not the next one: somebody else was quicker."""
    body = ENCODER.encode(snapshot)
    at = datetime.fromtimestamp(snapshot.published_at_s, UTC)
    return await connection.fetchrow(_PUBLISH, snapshot.version, at, zlib.crc32(body), body) is not None


async def latest(connection: Any) -> Snapshot | None:
    """The newest snapshot; None before the first.

    Raises:
        SnapshotDamagedError: it fails its checksum.
    """
    row = await connection.fetchrow(_LATEST)
    return None if row is None else _read(row)


async def newest_version(connection: Any) -> int:
    """The version of the newest snapshot, which may be damaged; 0 before the first."""
    return int(await connection.fetchval(_NEWEST))


async def load(connection: Any, version: int) -> Snapshot:
    """One version.

    Raises:
        SnapshotMissingError: it was never published, or it was purged.
        SnapshotDamagedError: it fails its checksum.
    """
    row = await connection.fetchrow(_LOAD, version)
    if row is None:
        raise SnapshotMissingError(f"snapshot {version} was never published, or it is no longer kept")
    return _read(row)


async def purge(connection: Any, before: datetime) -> int:
    """Deletes snapshots that were replaced before `before`, some thousands at a call; the newest stays, and one that is pinned.

    Decisions made with them can no longer be replayed. Returns how many were deleted.
    """
    return len(await connection.fetch(_PURGE, before, _PURGE_MAX))


def _read(row: Any) -> Snapshot:
    if zlib.crc32(row["body"]) != row["crc32"]:
        raise SnapshotDamagedError(f"snapshot {row['version']} fails its checksum")
    try:
        return DECODER.decode(row["body"])
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise SnapshotDamagedError(f"snapshot {row['version']}: {error}") from error
