"""Fixed rows in COPY's binary format: what does not fit is refused, never read askew."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest

from push import copy_format

ROW = copy_format.layout([("user_id", ">i8"), ("outbox_id", "V16"), ("bucket", ">i2")])


def three_rows() -> np.ndarray:
    rows = copy_format.blank(ROW, 3)
    rows["user_id"], rows["bucket"] = [1, 2, 1 << 40], [63, 0, 7]
    rows["outbox_id"] = np.arange(48, dtype=np.uint8).view("V16")
    return rows


def encoded(rows: np.ndarray) -> bytes:
    async def pieces() -> bytes:
        return b"".join([bytes(piece) async for piece in copy_format.stream(rows)])

    streamed = asyncio.run(pieces())
    assert copy_format.at_once(rows) == streamed
    return streamed


def decoded(data: bytes, chunk: int, rows_max: int) -> list[np.ndarray]:
    decoder = copy_format.Decoder(ROW, rows_max)
    blocks = [rows for start in range(0, len(data), chunk) for rows in decoder.feed(data[start : start + chunk])]
    return [*blocks, decoder.end()]


@pytest.mark.parametrize("chunk", [1, 7, 40, 41, 1000])
@pytest.mark.parametrize("rows_max", [1, 2, 3, 4])
def test_rows_come_back_as_they_were_in_blocks(chunk: int, rows_max: int) -> None:
    data = encoded(three_rows())
    assert copy_format.columns_of(ROW) == ["user_id", "outbox_id", "bucket"]
    assert data[len(copy_format.HEADER) :][:14] == b"\0\x03" + b"\0\0\0\x08" + (1).to_bytes(8)
    blocks = decoded(data, chunk, rows_max)
    assert (np.concatenate(blocks) == three_rows()).all()
    assert {len(block) for block in blocks[:-1]} <= {rows_max}
    assert len(blocks[-1]) < rows_max
    assert [len(block) for block in decoded(encoded(three_rows()[:0]), chunk, rows_max)] == [0]


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        encoded(three_rows())[:-1],
        encoded(three_rows())[:-40] + copy_format.TRAILER,
        b"x" + encoded(three_rows())[1:],
        encoded(three_rows())[:-2] + b"\0\0",
        encoded(three_rows()) + b"\0",
    ],
)
def test_other_bytes_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"are not rows|do not begin"):
        decoded(damaged, 16, 4)


@pytest.mark.parametrize(("name", "what"), [("fields", "number of fields"), ("bytes of bucket", "field bucket")])
def test_rows_of_another_shape_are_refused(name: str, what: str) -> None:
    rows = three_rows()
    rows[name][1] += 1
    for rows_max in (2, 4):
        with pytest.raises(ValueError, match=what):
            decoded(encoded(rows), 1000, rows_max)


def test_instants_are_counted_as_postgresql_does() -> None:
    assert copy_format.microseconds(datetime(2000, 1, 2, tzinfo=UTC)) == 86_400_000_000
