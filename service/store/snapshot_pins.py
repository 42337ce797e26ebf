"""Holding decisions to a snapshot: they use it until they are let go, while the learner goes on publishing."""

from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg

from schema.snapshot_pin import KeptSnapshot, SnapshotPin, Snapshots

SHOWN_MAX: Final = 1_000

_PIN: Final = "select version, pinned_at, pinned_by, reason from snapshot_pins order by pin_id desc limit 1"
_IN_FORCE: Final = """
    select coalesce((select version from snapshot_pins order by pin_id desc limit 1), (select max(version) from snapshots))
"""
_RECORD: Final = """
    insert into snapshot_pins (pin_id, version, taste_map_version, pinned_at, pinned_by, reason)
    select coalesce(max(pin_id), 0) + 1, $1, $2, $3, $4, $5 from snapshot_pins
"""
_NOTIFY: Final = "select pg_notify('snapshot', '')"
_NEWEST: Final = """
    select version, published_at, length(body) as size_bytes from snapshots
     where version < $1 order by version desc limit $2
"""
_NO_VERSION_YET: Final = 2**62


class Sound(NamedTuple):
    """A snapshot that is known to be sound, and the taste map it needs."""

    version: int
    taste_map_version: int


_NOTHING: Final = (None, None)


class OvertakenError(RuntimeError):
    """Somebody else pins or lets go at the same moment."""


async def in_force(connection: Any) -> int | None:
    """The version decisions use: the one they are held to, else the newest; None before the first."""
    return await connection.fetchval(_IN_FORCE)  # type: ignore[no-any-return] # asyncpg is untyped


async def pinned(connection: Any) -> SnapshotPin | None:
    """Who holds decisions to which version; None when nobody does."""
    row = await connection.fetchrow(_PIN)
    return None if row is None or row["version"] is None else SnapshotPin(**row)


async def hold(connection: Any, sound: Sound | None, now: datetime, by: str, reason: str) -> None:
    """Holds decisions to a version, or lets them go (None).

    Raises:
        OvertakenError: somebody else does so at the same moment.
    """
    try:
        await connection.execute(_RECORD, *(sound or _NOTHING), now, by, reason)
    except asyncpg.UniqueViolationError:
        raise OvertakenError("Somebody else has just pinned or unpinned a snapshot.") from None
    await connection.execute(_NOTIFY)


async def overview(connection: Any, count: int, before: int | None = None) -> Snapshots:
    """The newest snapshots below a version, and which one is used."""
    found = await connection.fetch(_NEWEST, _NO_VERSION_YET if before is None else before, count)
    newest = await connection.fetchrow(_NEWEST, _NO_VERSION_YET, 1)
    return Snapshots(
        in_force=await in_force(connection),
        newest=None if newest is None else newest["version"],
        pin=await pinned(connection),
        data=[KeptSnapshot(**row) for row in found],
    )
