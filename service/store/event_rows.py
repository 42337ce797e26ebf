"""Events in PostgreSQL's binary COPY format: an INSERT of each costs twice as much here, and a third more in the server."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from push.copy_format import HEADER, TRAILER, blank, layout, microseconds

COLUMNS: Final = (
    "user_id", "event_id", "type", "occurred_at", "received_at", "slot", "offer_id", "decision_id", "properties",
)  # fmt: skip  # those of fixed width first

_FIXED: Final = struct.Struct(">h iq i16s ih iq iq ih".replace(" ", ""))
_KEY: Final = layout([("user_id", ">i8"), ("event_key", "V16"), ("received_at", ">i8")])
_JSON_HEAD: Final = struct.Struct(">ib")
_JSONB_VERSION: Final = 1
_NULL: Final = (-1).to_bytes(4, signed=True)
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """A row of events; `properties` is JSON text."""

    user_id: int
    event_id: UUID
    type: int
    occurred_at: datetime
    received_at: datetime
    offer_id: int | None
    decision_id: UUID | None
    slot: int
    properties: bytes


def keys(claimed: Sequence[tuple[int, UUID]], now: datetime) -> npt.NDArray[np.void]:
    """Rows of event_keys, for push.copy_format: (user_id, event_key) pairs received now, in their order whatever that of the pairs."""
    rows = blank(_KEY, len(claimed))
    user_ids = np.array([user_id for user_id, _ in claimed], np.int64)
    event_keys = np.frombuffer(b"".join([key.bytes for _, key in claimed]), "V16")
    first, second = event_keys.view(">u8").reshape(-1, 2).T.astype(np.uint64)
    order = np.lexsort((second, first, user_ids))
    rows["user_id"] = user_ids[order]
    rows["event_key"] = event_keys[order]
    rows["received_at"] = microseconds(now)
    return rows


def encoded(rows: Sequence[StoredEvent]) -> memoryview:
    """What COPY events (COLUMNS) FROM STDIN takes, whole (push.copy_format.at_once); bytes the driver would take for a path."""
    parts = [HEADER]
    pack, json_head = _FIXED.pack, _JSON_HEAD.pack
    received_at, received = _EPOCH, 0
    for row in rows:
        if row.received_at is not received_at:  # those of a request have one instant
            received_at = row.received_at
            received = (received_at - _EPOCH) // _MICROSECOND
        occurred = (row.occurred_at - _EPOCH) // _MICROSECOND
        body = row.properties
        parts += (
            pack(9, 8, row.user_id, 16, row.event_id.bytes, 2, row.type, 8, occurred, 8, received, 2, row.slot),
            _integer(row.offer_id),
            _NULL if row.decision_id is None else b"\0\0\0\x10" + row.decision_id.bytes,
            json_head(len(body) + 1, _JSONB_VERSION),
            body,
        )
    parts.append(TRAILER)
    return memoryview(b"".join(parts))


@lru_cache(maxsize=4096)
def _integer(value: int | None) -> bytes:
    return _NULL if value is None else b"\0\0\0\x04" + value.to_bytes(4, signed=True)
