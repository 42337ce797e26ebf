"""Rows of the decision log as they are written and as they are read, made into each other."""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from bandits.features import FEATURE_SET
from service.store import drawn_columns
from service.store.decision_rows import Row, Shared
from service.store.drawn_columns import Drawn
from service.store.logged_decision import LoggedDecision

PMF = np.array([0.25, 0.75])


def row_of(logged: LoggedDecision) -> Row:
    """The row that is read as this; its draw was made from PMF, if there was one."""
    own = logged.personal_offsets
    numbers = Drawn(
        np.array([logged.offer_ids], np.int32),
        np.array([logged.propensities]),
        PMF[None],
        [len(PMF)],
        _by_slot(logged.phi, logged, -1),
        _by_slot(logged.predictions, logged, 2, 2),
        _by_slot(logged.z, logged, -1) if own else None,
        np.array([own], np.float32) if own else None,
    )
    drawn = drawn_columns.encoded(numbers)[0] if logged.offer_ids else drawn_columns.NOTHING
    given = {name: getattr(logged, name) for name in Row.__struct_fields__ if name not in {"shared", "drawn"}}
    alike = {name: getattr(logged, name) for name in Shared._fields}
    return Row(**given, shared=Shared(**alike | {"reason_codes": tuple(logged.reason_codes)}), drawn=drawn)


def _by_slot(numbers: bytes, logged: LoggedDecision, *shape: int) -> npt.NDArray[np.float32]:
    slots = len(logged.offer_ids)
    return (
        np.frombuffer(numbers, "<f4").reshape(1, slots, *shape)
        if slots
        else np.zeros((1, 0, *map(abs, shape)), np.float32)
    )


def logged_of(row: Row) -> LoggedDecision:
    """What is read of a row that was written."""
    phi, predictions, fingerprint, z, *arrays = _fields(row.drawn)
    offer_ids, propensities, offsets = (_values(data, kind) for data, kind in zip(arrays, "idf", strict=True))
    given: dict[str, Any] = {
        name: getattr(row, name) for name in Row.__struct_fields__ if name not in {"shared", "drawn"}
    }
    drawn = {"phi": phi, "predictions": predictions, "pmf_sha256": fingerprint, "z": z}
    numbers = {"offer_ids": offer_ids, "propensities": propensities, "personal_offsets": offsets}
    return LoggedDecision(
        **given
        | row.shared._asdict()
        | drawn
        | numbers
        | {"reason_codes": list(row.shared.reason_codes), "feature_set": FEATURE_SET}
    )


def _fields(data: bytes) -> list[bytes]:
    """The fields of a COPY row, each with its length before it."""
    found = []
    while data:
        (length,) = struct.unpack_from(">i", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def _values(data: bytes, kind: str) -> list[Any]:
    """The numbers of an array of one dimension, each with its length before it."""
    dimensions, has_nulls, _ = struct.unpack_from(">iii", data)
    assert has_nulls == 0
    if dimensions == 0:
        return []
    (count,) = struct.unpack_from(">i", data, 12)
    return [value for length, value in struct.iter_unpack(">i" + kind, data[20:]) if length][:count]
