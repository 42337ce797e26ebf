"""Fixed rows in COPY's binary format: what does not fit is refused, never read askew."""

import numpy as np
import pytest

from push import copy_format

ROW = copy_format.layout([("user_id", ">i8"), ("outbox_id", "V16"), ("bucket", ">i2")])


def three_rows() -> np.ndarray:
    rows = copy_format.blank(ROW, 3)
    rows["user_id"], rows["bucket"] = [1, 2, 1 << 40], [63, 0, 7]
    rows["outbox_id"] = np.arange(48, dtype=np.uint8).view("V16")
    return rows


def test_rows_come_back_as_they_were() -> None:
    data = copy_format.encoded(three_rows())
    assert copy_format.columns_of(ROW) == ["user_id", "outbox_id", "bucket"]
    assert data[len(copy_format.HEADER) :][:14] == b"\0\x03" + b"\0\0\0\x08" + (1).to_bytes(8)
    assert (copy_format.decoded(data, ROW) == three_rows()).all()
    assert len(copy_format.decoded(copy_format.encoded(three_rows()[:0]), ROW)) == 0


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        copy_format.encoded(three_rows())[:-1],
        copy_format.encoded(three_rows())[:-40] + copy_format.TRAILER,
        b"x" + copy_format.encoded(three_rows())[1:],
        copy_format.encoded(three_rows())[:-2] + b"\0\0",
    ],
)
def test_other_bytes_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="are not rows"):
        copy_format.decoded(damaged, ROW)


@pytest.mark.parametrize(("name", "what"), [("fields", "number of fields"), ("bytes of bucket", "field bucket")])
def test_rows_of_another_shape_are_refused(name: str, what: str) -> None:
    rows = three_rows()
    rows[name][1] += 1
    with pytest.raises(ValueError, match=what):
        copy_format.decoded(copy_format.encoded(rows), ROW)
