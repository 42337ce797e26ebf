"""Rows of fixed width in PostgreSQL's binary COPY format, as numpy arrays: nothing is done for each row or field in Python."""

from collections.abc import AsyncIterator, Iterable
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


def encoded(rows: npt.NDArray[np.void]) -> bytes:
    """What COPY … FROM STDIN takes."""
    return HEADER + rows.tobytes() + TRAILER


async def stream(rows: npt.NDArray[np.void]) -> AsyncIterator[memoryview]:
    """The same piece by piece, as asyncpg asks for it; nothing is copied."""
    yield memoryview(HEADER)
    whole = rows.view(np.uint8).data
    for start in range(0, len(whole), PIECE_BYTES):
        yield whole[start : start + PIECE_BYTES]
    yield memoryview(TRAILER)


def decoded(data: bytes | bytearray, row: np.dtype[np.void]) -> npt.NDArray[Any]:
    """The rows of what COPY … TO STDOUT sent; a view of `data`.

    Raises:
        ValueError: it is not the format, or a field is null or of another width.
    """
    size = len(data) - len(HEADER) - len(TRAILER)
    if size < 0 or size % row.itemsize or data[: len(HEADER)] != HEADER or data[-len(TRAILER) :] != TRAILER:
        raise ValueError(f"{len(data)} bytes are not rows of {row.itemsize}")
    rows = np.frombuffer(data, row, size // row.itemsize, len(HEADER))
    names = columns_of(row)
    if not (rows[_FIELDS] == len(names)).all():
        raise ValueError("rows with another number of fields")
    for name in names:
        if not (rows[_LENGTH + name] == row[name].itemsize).all():
            raise ValueError(f"a field {name} that is not of {row[name].itemsize} bytes")
    return rows
