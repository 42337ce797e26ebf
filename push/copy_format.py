"""Rows of fixed width in PostgreSQL's binary COPY format, as numpy arrays: nothing is done for each row or field in Python."""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
PIECE_BYTES: Final = 1 << 19

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)

_FIELDS: Final = "fields"
_LENGTH: Final = "bytes of "


def microseconds(at: datetime) -> int:
    """An aware instant as PostgreSQL keeps it: microseconds since 2000."""
    return (at - EPOCH) // MICROSECOND


def layout(columns: Iterable[tuple[str, str]]) -> np.dtype[np.void]:
    """The dtype of a row: how many fields it has, and each with its length before it.

    Args:
        columns: names, and numpy types of the values as PostgreSQL sends them (big-endian; 'V16' for a uuid).
    """
    given = list(columns)
    fields: list[tuple[str, str]] = [(_FIELDS, ">i2")]
    for name, kind in given:
        fields += [(_LENGTH + name, ">i4"), (name, kind)]
    return np.dtype(fields)


def columns_of(row: np.dtype[np.void]) -> list[str]:
    """The names of the columns, in order."""
    return [name for name in row.names or () if name != _FIELDS and not name.startswith(_LENGTH)]


def blank(row: np.dtype[np.void], count: int) -> npt.NDArray[np.void]:
    """Rows of zeros; counts and lengths are filled in."""
    rows = np.zeros(count, row)
    names = columns_of(row)
    rows[_FIELDS] = len(names)
    for name in names:
        rows[_LENGTH + name] = row[name].itemsize
    return rows


async def stream(rows: npt.NDArray[np.void]) -> AsyncIterator[memoryview]:
    """What COPY … FROM STDIN takes, piece by piece; nothing is copied."""
    yield memoryview(HEADER)
    whole = rows.view(np.uint8).data
    for start in range(0, len(whole), PIECE_BYTES):
        yield whole[start : start + PIECE_BYTES]
    yield memoryview(TRAILER)


def at_once(rows: npt.NDArray[np.void]) -> memoryview:
    """The same whole, for some thousands of rows: of each piece of a stream asyncpg makes a task, and a write of its own."""
    return memoryview(b"".join((HEADER, rows.data, TRAILER)))


class Decoder:
    """Takes the bytes of COPY … TO STDOUT as they come, and gives rows in blocks; what is not the format is refused with ValueError."""

    def __init__(self, row: np.dtype[np.void], rows_max: int) -> None:
        self._row = row
        self._block_bytes = rows_max * row.itemsize
        self._left = bytearray()
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[npt.NDArray[Any]]:
        """The blocks that are whole now, rows_max rows each; something is left over until `end`."""
        self._left += data
        if not self._has_begun and len(self._left) >= len(HEADER):
            if not self._left.startswith(HEADER):
                raise ValueError("bytes that do not begin as a COPY does")
            del self._left[: len(HEADER)]
            self._has_begun = True
        while self._has_begun and len(self._left) >= self._block_bytes + len(TRAILER):
            whole = bytes(self._left[: self._block_bytes])
            del self._left[: self._block_bytes]
            yield self._rows(whole)

    def end(self) -> npt.NDArray[Any]:
        """The rows that are left; may be none."""
        size = len(self._left) - len(TRAILER)
        if not self._has_begun or size < 0 or size % self._row.itemsize or not self._left.endswith(TRAILER):
            raise ValueError(f"{len(self._left)} bytes are not rows of {self._row.itemsize}")
        return self._rows(bytes(self._left[:size]))

    def _rows(self, data: bytes) -> npt.NDArray[Any]:
        rows = np.frombuffer(data, self._row)
        names = columns_of(self._row)
        if not (rows[_FIELDS] == len(names)).all():
            raise ValueError("rows with another number of fields")
        for name in names:
            if not (rows[_LENGTH + name] == self._row[name].itemsize).all():
                raise ValueError(f"a field {name} that is not of {self._row[name].itemsize} bytes")
        return rows
