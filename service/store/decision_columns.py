"""Many decisions at once on their way into the log, a column at a time; the same bytes as `decision_rows` makes of each."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.kernels.tastes import HEADER
from push import copy_format
from service.store.decision_rows import COLUMNS, sized

_OWN: Final = copy_format.layout(
    [
        ("user_id", ">i8"),
        ("decision_id", "V16"),
        ("user_version", ">i8"),
        ("action", ">i2"),
        ("in_holdout", "u1"),
        ("in_control", "u1"),
        ("is_degraded", "u1"),
        ("send_probability", ">f8"),
    ]
)
_HEAD: Final = np.dtype([("length", ">i4"), ("header", HEADER)])

NO_BYTES: Final = sized(b"")


class Columns(NamedTuple):
    """Of n decisions: own columns (n,) each; `shared` from channel to eligible; tastes, personal and what was drawn as fields."""

    user_ids: npt.NDArray[np.int64]
    decision_ids: npt.NDArray[np.uint8]
    user_versions: npt.NDArray[np.int64]
    actions: npt.NDArray[np.int64]
    in_holdout: npt.NDArray[np.bool_]
    in_control: npt.NDArray[np.bool_]
    send_probabilities: npt.NDArray[np.float64]
    shared: Sequence[bytes]
    tastes: Sequence[bytes]
    entries: Sequence[bytes]
    personal: Sequence[bytes]
    drawn: Sequence[bytes]


def encoded(given: Columns) -> bytes:
    """What COPY decisions (decision_rows.COLUMNS) FROM STDIN takes."""
    own: Any = copy_format.blank(_OWN, len(given.user_ids))
    own["fields"] = len(COLUMNS)
    own["user_id"], own["user_version"] = given.user_ids, given.user_versions
    own["decision_id"] = np.ascontiguousarray(given.decision_ids).view("V16")[:, 0]
    own["action"], own["send_probability"] = given.actions, given.send_probabilities
    own["in_holdout"], own["in_control"] = given.in_holdout, given.in_control
    parts = zip(rows_of(own), *given[7:], strict=True)
    return b"".join([copy_format.HEADER, *chain.from_iterable(parts), copy_format.TRAILER])


def heads(headers: npt.NDArray[np.void], entries: Sequence[bytes]) -> list[bytes]:
    """The field tastes of each of (n,) headers, as far as its entries."""
    found: Any = np.empty(len(headers), _HEAD)
    found["length"] = np.fromiter(map(len, entries), np.int64, len(entries)) + HEADER.itemsize
    found["header"] = headers
    return rows_of(found)


def rows_of(records: npt.NDArray[np.void]) -> list[bytes]:
    """Each record as bytes."""
    data, size = records.tobytes(), records.dtype.itemsize
    return [data[at : at + size] for at in range(0, len(data), size)]
