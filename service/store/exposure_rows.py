"""All exposures at once, as the rows the shared model is fitted to: streamed out of PostgreSQL once, then read as often as needed."""

import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from bandits.features import DIMS, FEATURE_SET
from bandits.sums import Rows
from schema.ids import lowest_uuid7

BLOCK_ROWS: Final = 65_536
COPY_TIMEOUT_S: Final = 3600.0

# Every column has a fixed width, so that PostgreSQL's binary form is an array of records. Instants in microseconds since 1970; -1: none.
_ALL: Final = """
    select decision_id, slot, (extract(epoch from exposed_at) * 1000000)::bigint,
           coalesce((extract(epoch from opened_told_at) * 1000000)::bigint, -1),
           coalesce((extract(epoch from redeemed_told_at) * 1000000)::bigint, -1), personal_offset, phi
      from exposures where feature_set = $1 and octet_length(phi) = $2 and decision_id >= $3
"""
# The comparison finds the pages to look at by the index; the function knows which transactions the snapshot did not see.
_CHANGED: Final = """
    select decision_id, slot, (extract(epoch from exposed_at) * 1000000)::bigint,
           coalesce((extract(epoch from opened_told_at) * 1000000)::bigint, -1),
           coalesce((extract(epoch from redeemed_told_at) * 1000000)::bigint, -1), personal_offset, phi
      from exposures
     where feature_set = $1 and octet_length(phi) = $2 and decision_id >= $3
       and counted_by >= pg_snapshot_xmin($4::text::pg_snapshot)::text::bigint
       and not pg_visible_in_snapshot(counted_by::text::xid8, $4::text::pg_snapshot)
"""
_SNAPSHOT: Final = "select pg_current_snapshot()::text"

_HEADER_BYTES: Final = 19
_TRAILER_BYTES: Final = 2
_RECORD: Final = np.dtype(
    [
        ("columns", ">i2"),
        ("bytes_0", ">i4"), ("decision_high", ">u8"), ("decision_low", ">u8"),
        ("bytes_1", ">i4"), ("slot", ">i2"),
        ("bytes_2", ">i4"), ("exposed_us", ">i8"),
        ("bytes_3", ">i4"), ("opened_told_us", ">i8"),
        ("bytes_4", ">i4"), ("redeemed_told_us", ">i8"),
        ("bytes_5", ">i4"), ("offset", ">f4"),
        ("bytes_6", ">i4"), ("phi", "<f4", (DIMS,)),
    ]
)  # fmt: skip

Records = npt.NDArray[np.void]
Keys = npt.NDArray[np.void]
Mixed = npt.NDArray[np.uint64]

_KEY: Final = np.dtype([("high", "<u8"), ("low", "<u8"), ("slot", "<i8")])
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)


class Spool:
    """Exposures decided since an instant, as of a snapshot of the database; of what lies in a file only the block at hand is in memory."""

    def __init__(self, records: Records, snapshot: str, since: datetime) -> None:
        self._records = records
        self.snapshot = snapshot
        self.since = since

    def __len__(self) -> int:
        return len(self._records)

    def blocks(self) -> Iterator[Rows]:
        """All exposures, always in the same order."""
        for first in range(0, len(self._records), BLOCK_ROWS):
            yield _rows(self._records[first : first + BLOCK_ROWS])

    def of(self, other: "Spool") -> "Spool":
        """The exposures that `other` knows too, as this one knows them."""
        wanted = _keys(other._records)  # noqa: SLF001 - of the same class
        mixed = _mixed(wanted["low"], wanted["slot"])
        order = np.argsort(mixed, kind="stable")
        wanted, mixed = wanted[order], mixed[order]
        found = [
            _among(self._records[first : first + BLOCK_ROWS], wanted, mixed)
            for first in range(0, len(self._records), BLOCK_ROWS)
        ]
        return Spool(np.concatenate([np.empty(0, _RECORD), *found]), self.snapshot, self.since)


@asynccontextmanager
async def spool(connection: Any, since: datetime) -> AsyncIterator[Spool]:
    """All exposures decided since then, with the features of this program, in a file without a name that is gone at the end of the context.

    The caller is in a transaction of isolation repeatable read, which may end before the context does.
    """
    snapshot = await connection.fetchval(_SNAPSHOT)
    with tempfile.TemporaryFile(prefix="welltimed-refit-") as file:
        await _copy(connection, file, _ALL, FEATURE_SET, 4 * DIMS, lowest_uuid7(since))
        yield Spool(_records(file), snapshot, since)


async def changed_since(connection: Any, copy: Spool) -> Spool:
    """Exposures that were written by transactions which that copy did not see, as they are now."""
    file = io.BytesIO()
    await _copy(connection, file, _CHANGED, FEATURE_SET, 4 * DIMS, lowest_uuid7(copy.since), copy.snapshot)
    body = file.getvalue()[_HEADER_BYTES:-_TRAILER_BYTES]
    return Spool(_checked(np.frombuffer(body, _RECORD)), copy.snapshot, copy.since)


async def _copy(connection: Any, file: IO[bytes], query: str, *arguments: object) -> None:
    async def write(data: bytes) -> None:
        file.write(data)

    await connection.copy_from_query(query, *arguments, output=write, format="binary", timeout=COPY_TIMEOUT_S)


def _records(file: IO[bytes]) -> Records:
    file.flush()
    count = (file.tell() - _HEADER_BYTES - _TRAILER_BYTES) // _RECORD.itemsize
    if count == 0:
        return np.empty(0, _RECORD)
    return _checked(np.memmap(file, _RECORD, "r", _HEADER_BYTES, (count,)))


def _checked(records: Records) -> Records:
    """The width of the last column tells whether everything lies where it is looked for."""
    if len(records) and (records["bytes_6"][0] != 4 * DIMS or records["bytes_6"][-1] != 4 * DIMS):
        raise ValueError("exposures are not read as they were written")
    return records


def _rows(records: Records) -> Rows:
    """Without rows of which nothing can be learned: the features of a damaged decision are not numbers."""
    records = records[np.isfinite(records["phi"]).all(axis=1)]
    exposed_us = records["exposed_us"].astype(np.int64)
    answered_us = np.stack([records["opened_told_us"], records["redeemed_told_us"]], axis=1).astype(np.int64)
    came = answered_us >= 0
    age_s = np.where(came, np.maximum(answered_us - exposed_us[:, None], 0), 0) / 1e6
    return Rows(
        np.ascontiguousarray(records["phi"], np.float32),
        exposed_us / 1e6,
        records["offset"].astype(np.float32),
        np.ones(len(records)),
        came.astype(np.float64),
        age_s,
    )


def _among(records: Records, wanted: Keys, mixed: Mixed) -> Records:
    """Those with these keys, sorted by `_mixed`; numbers are searched, for records are compared a hundred times slower."""
    if not len(wanted):
        return records[:0]
    sought = _mixed(records["decision_low"], records["slot"])
    place = np.minimum(np.searchsorted(mixed, sought), len(mixed) - 1)
    likely = np.flatnonzero(mixed[place] == sought)
    found = records[likely]
    is_same: npt.NDArray[np.bool_] = _keys(found) == wanted[place[likely]]
    return found[is_same]


def _keys(records: Records) -> Keys:
    """What tells slots of decisions apart; a merge of people changes their user, not these."""
    keys = np.empty(len(records), _KEY)
    keys["high"], keys["low"], keys["slot"] = records["decision_high"], records["decision_low"], records["slot"]
    return keys


def _mixed(low: npt.NDArray[np.generic], slot: npt.NDArray[np.generic]) -> Mixed:
    """One number a key: the random bits of the decision, with the slot spread over them."""
    mixed: Mixed = low.astype(np.uint64) ^ (slot.astype(np.uint64) * _SPREAD)
    return mixed
