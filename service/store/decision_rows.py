"""Logged decisions in PostgreSQL's binary COPY format: an INSERT of each costs four times as much, here and in the server."""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from push.copy_format import HEADER, TRAILER
from schema.decision import DecisionInputs
from service.store.logged_decision import LoggedDecision

COLUMNS: Final = (
    "user_id", "decision_id", "channel", "action", "in_holdout", "in_control", "is_degraded", "snapshot_version", "catalogue_version",
    "user_version", "send_probability", "feature_set", "campaign_id", "placement", "policy", "reason_codes", "request", "tastes", "eligible",
    "phi", "predictions", "pmf_sha256", "personal", "z", "offer_ids", "propensities", "personal_offsets",
)  # fmt: skip  # those of fixed width first

_FIXED: Final = struct.Struct(">h iq i16s ih ih i? i? i? iq iq iq id ih".replace(" ", ""))
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_INTEGER, _REAL, _DOUBLE, _TEXT = 23, 700, 701, 25
_EMPTY_ARRAYS: Final = {oid: struct.pack(">iiiI", 12, 0, 0, oid) for oid in (_INTEGER, _REAL, _DOUBLE, _TEXT)}
_JSONB_VERSION: Final = b"\x01"
_encode: Final = msgspec.json.Encoder().encode


def encoded(rows: Sequence[LoggedDecision]) -> bytes:
    """What COPY decisions (COLUMNS) FROM STDIN takes."""
    requests: dict[int, bytes] = {}
    parts = [HEADER]
    for row in rows:
        request = requests.get(id(row.request))  # the same for many of a batch
        if request is None:
            request = requests[id(row.request)] = _request(row.request)
        parts += (_head(row), *_body(row, request))
    parts.append(TRAILER)
    return b"".join(parts)


def _head(row: LoggedDecision) -> bytes:
    return _FIXED.pack(
        len(COLUMNS), 8, row.user_id, 16, row.decision_id.bytes, 2, row.channel, 2, row.action, 1, row.in_holdout, 1, row.in_control,
        1, row.is_degraded, 8, row.snapshot_version, 8, row.catalogue_version, 8, row.user_version, 8, row.send_probability,
        2, row.feature_set,
    )  # fmt: skip  # each with its length


def _body(row: LoggedDecision, request: bytes) -> tuple[bytes, ...]:
    length = _LENGTH.pack
    return (
        _NULL if row.campaign_id is None else length(16) + row.campaign_id.bytes,
        _text(row.placement), _text(row.policy), _texts(tuple(row.reason_codes)), request,
        length(len(row.tastes)), row.tastes, length(len(row.eligible)), row.eligible, length(len(row.phi)), row.phi,
        length(len(row.predictions)), row.predictions, length(len(row.pmf_sha256)), row.pmf_sha256,
        length(len(row.personal)), row.personal, length(len(row.z)), row.z,
        _array("i", _INTEGER, row.offer_ids), _array("d", _DOUBLE, row.propensities), _array("f", _REAL, row.personal_offsets),
    )  # fmt: skip  # each with its length


def _request(given: DecisionInputs) -> bytes:
    body = _JSONB_VERSION + _encode(given)
    return _LENGTH.pack(len(body)) + body


@lru_cache(maxsize=1024)
def _text(given: str) -> bytes:
    data = given.encode()
    return _LENGTH.pack(len(data)) + data


@lru_cache(maxsize=256)
def _texts(given: tuple[str, ...]) -> bytes:
    if not given:
        return _EMPTY_ARRAYS[_TEXT]
    body = b"".join([_text(one) for one in given])
    return struct.pack(">iiiIii", 20 + len(body), 1, 0, _TEXT, len(given), 1) + body


def _array(kind: str, oid: int, values: Sequence[float]) -> bytes:
    if not values:
        return _EMPTY_ARRAYS[oid]
    layout, size = _layout(kind, len(values))
    if len(values) == 1:  # as of every push
        return layout.pack(24 + size, 1, 0, oid, 1, 1, size, values[0])
    flat = [part for value in values for part in (size, value)]
    return layout.pack(20 + len(values) * (4 + size), 1, 0, oid, len(values), 1, *flat)


@lru_cache(maxsize=64)
def _layout(kind: str, count: int) -> tuple[struct.Struct, int]:
    """One dimension, no nulls, the type, how many, from 1; then each with its length."""
    return struct.Struct(">iiiIii" + ("i" + kind) * count), struct.calcsize(">" + kind)
