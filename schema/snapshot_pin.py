"""Which snapshot decisions use: the newest, or the one they are held to."""

from datetime import datetime

from schema.base import Kept


class SnapshotPin(Kept, frozen=True):
    """Who holds decisions to a snapshot since when, and why."""

    version: int
    pinned_at: datetime
    pinned_by: str
    reason: str


class KeptSnapshot(Kept, frozen=True):
    """A published snapshot."""

    version: int
    published_at: datetime
    size_bytes: int


class Snapshots(Kept, frozen=True):
    """The answer to GET /v1/snapshots: the newest first; `in_force` is what decisions use, null before the first one."""

    in_force: int | None
    newest: int | None
    pin: SnapshotPin | None
    data: list[KeptSnapshot]
