"""What the log keeps of draws: the columns that are numbers, of many decisions at once, in PostgreSQL's binary COPY format."""

import hashlib
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

COLUMNS: Final = ("phi", "predictions", "pmf_sha256", "z", "offer_ids", "propensities", "personal_offsets")

_INTEGER, _REAL, _DOUBLE = 23, 700, 701
_SHA256_BYTES: Final = 32


class Drawn(NamedTuple):
    """n draws of as many slots each: offer_ids and propensities (n, slots); pmf (n, widest) of the first slot, of the eligible offers alone,
    `eligible` many of each; phi (n, slots, d), predictions (n, slots, heads, 2); z (n, slots, p) and personal_offsets (n, slots), None where
    nothing personal was used.
    """

    offer_ids: npt.NDArray[np.int32]
    propensities: F64
    pmf: F64
    eligible: Sequence[int]
    phi: F32
    predictions: F32
    z: F32 | None
    personal_offsets: F32 | None


def pmf_sha256(pmf: bytes) -> bytes:
    """Fingerprint of a pmf over the eligible offers, little-endian float64 one after the other, by which a replay is judged."""
    return hashlib.sha256(pmf).digest()


def encoded(drawn: Drawn) -> list[bytes]:
    """The columns of each draw, ready for COPY."""
    count, slots, dims = drawn.phi.shape
    own_dims = None if drawn.z is None else drawn.z.shape[2]
    blank = _blank(slots, dims, drawn.predictions.shape[2], own_dims)
    records: Any = np.frombuffer(bytearray(blank.tobytes() * count), blank.dtype)
    records["phi"], records["predictions"] = drawn.phi, drawn.predictions
    records["offer_ids"]["value"], records["propensities"]["value"] = drawn.offer_ids, drawn.propensities
    if own_dims is not None:
        records["z"], records["personal_offsets"]["value"] = drawn.z, drawn.personal_offsets
    records["pmf_sha256"] = np.frombuffer(_fingerprints(drawn), (np.void, _SHA256_BYTES))
    data, size = records.tobytes(), records.dtype.itemsize
    return [data[at : at + size] for at in range(0, len(data), size)]


def _fingerprints(drawn: Drawn) -> bytes:
    data, size = np.asarray(drawn.pmf, "<f8").tobytes(), 8 * drawn.pmf.shape[1]
    starts = range(0, len(data), size)
    return b"".join([pmf_sha256(data[at : at + 8 * n]) for at, n in zip(starts, drawn.eligible, strict=True)])


@lru_cache(maxsize=64)
def _blank(slots: int, dims: int, heads: int, own_dims: int | None) -> Any:
    """A record of no numbers yet, with the lengths of all; without an own part z and personal_offsets are empty."""
    own = own_dims is not None
    fields = [
        *_bytes_field("phi", "<f4", (slots, dims)),
        *_bytes_field("predictions", "<f4", (slots, heads, 2)),
        *_bytes_field("pmf_sha256", f"V{_SHA256_BYTES}", ()),
        *_bytes_field("z", "<f4", (slots, own_dims or 0) if own else (0,)),
        *_array_field("offer_ids", ">i4", slots),
        *_array_field("propensities", ">f8", slots),
        *_array_field("personal_offsets", ">f4", slots if own else 0),
    ]
    record: Any = np.zeros((), fields)
    for name in COLUMNS[:4]:
        record[f"{name} length"] = record[name].nbytes
    for name, oid in (("offer_ids", _INTEGER), ("propensities", _DOUBLE), ("personal_offsets", _REAL)):
        head, values = record[f"{name} head"], record[name]
        count = len(values)
        head[:] = np.array([4 * (len(head) - 1) + values.nbytes, min(count, 1), 0, oid, count, 1])[: len(head)]
        values["length"] = values.dtype["value"].itemsize
    return record


def _bytes_field(name: str, kind: str, shape: tuple[int, ...]) -> list[tuple[Any, ...]]:
    return [(f"{name} length", ">i4"), (name, kind, shape)]


def _array_field(name: str, kind: str, count: int) -> list[tuple[Any, ...]]:
    """Bytes, dimensions, whether there are nulls, type, and of the one dimension how many and from where; an empty array has none."""
    return [(f"{name} head", ">i4", (6 if count else 4,)), (name, [("length", ">i4"), ("value", kind)], (count,))]


NOTHING: Final = struct.pack(
    f">iii{_SHA256_BYTES}si iiiI iiiI iiiI".replace(" ", ""),
    *(0, 0, _SHA256_BYTES, pmf_sha256(b""), 0),
    *(12, 0, 0, _INTEGER),
    *(12, 0, 0, _DOUBLE),
    *(12, 0, 0, _REAL),
)
"""The columns of a decision that drew nothing."""
