"""Snapshots in PostgreSQL: dense versions, a checksum each, and a notification when a new one is there."""

import zlib
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from schema.ids import lowest_uuid7
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
_LATEST_VERSION: Final = "select max(version) from snapshots"
_NEWEST: Final = "select coalesce(max(version), 0) from snapshots"
_LOAD: Final = "select version, crc32, body from snapshots where version = $1"
_PURGE: Final = """
    delete from snapshots s
     where s.published_at < $1 and s.version < (select max(version) from snapshots)
       and not exists (select 1 from decisions d where d.snapshot_version = s.version and d.decision_id >= $2)
    returning s.version
"""


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


async def latest_version(connection: Any) -> int | None:
    """The version of the newest snapshot; None before the first."""
    return await connection.fetchval(_LATEST_VERSION)  # type: ignore[no-any-return] # asyncpg is untyped


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


async def purge(connection: Any, before: datetime, referenced_since: datetime) -> int:
    """Deletes snapshots published before `before` that no decision made since `referenced_since` refers to; the newest stays.

    Returns how many were deleted.
    """
    return len(await connection.fetch(_PURGE, before, lowest_uuid7(referenced_since)))


def _read(row: Any) -> Snapshot:
    if zlib.crc32(row["body"]) != row["crc32"]:
        raise SnapshotDamagedError(f"snapshot {row['version']} fails its checksum")
    try:
        return DECODER.decode(row["body"])
    except msgspec.DecodeError as error:
        raise SnapshotDamagedError(f"snapshot {row['version']}: {error}") from error
