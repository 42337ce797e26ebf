"""Holding decisions to a snapshot that is known to be sound, and letting them go."""

from datetime import datetime
from typing import Any, Final

from bandits.policies.model import DamagedSnapshotError
from schema.snapshot_pin import Snapshots
from service.errors import ApiError
from service.store import models, snapshot_pins, snapshots
from service.store.snapshot_pins import Sound

SHOWN: Final = 20


async def pin(connection: Any, version: int, reason: str, now: datetime, by: str) -> Snapshots:
    """Holds decisions to a version until they are let go.

    Raises:
        ApiError: 404 when it is not kept (any more), 409 when this program cannot use it, or somebody else pins meanwhile.
    """
    try:
        model = await models.load(connection, version)
    except snapshots.SnapshotMissingError as error:
        raise ApiError(404, "not_found", f"{error}.") from None
    except (snapshots.SnapshotDamagedError, DamagedSnapshotError) as error:
        raise ApiError(409, "conflict", f"Snapshot {version} cannot be used: {error}.") from None
    return await _hold(connection, Sound(version, model.taste_map_version), reason, now, by)


async def unpin(connection: Any, reason: str, now: datetime, by: str) -> Snapshots:
    """Lets decisions go: from now on they use the newest snapshot. Raises ApiError 409 when none is pinned."""
    if await snapshot_pins.pinned(connection) is None:
        raise ApiError(409, "conflict", "No snapshot is pinned.")
    return await _hold(connection, None, reason, now, by)


async def _hold(connection: Any, sound: Sound | None, reason: str, now: datetime, by: str) -> Snapshots:
    try:
        await snapshot_pins.hold(connection, sound, now, by, reason)
    except snapshot_pins.OvertakenError as error:
        raise ApiError(409, "conflict", str(error)) from None
    return await snapshot_pins.overview(connection, SHOWN)
