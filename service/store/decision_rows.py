"""Decisions on their way into the log, in PostgreSQL's binary COPY format: an INSERT of each costs four times as much, here and in the server."""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from bandits.features import FEATURE_SET
from push.copy_format import HEADER, TRAILER
from schema.decision import DecisionInputs
from service.store import drawn_columns

COLUMNS: Final = (
    "user_id", "decision_id", "user_version", "action", "in_holdout", "in_control", "is_degraded", "send_probability",
    "channel", "snapshot_version", "catalogue_version", "feature_set", "campaign_id", "placement", "policy", "reason_codes",
    "request", "eligible", "tastes", "personal", *drawn_columns.COLUMNS,
)  # fmt: skip  # what is each one's own; what many of a batch share; the rest

_OWN: Final = struct.Struct(">h iq i16s iq ih i? i? i? id".replace(" ", ""))
_SHARED: Final = struct.Struct(">ih iq iq ih".replace(" ", ""))
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_TEXT: Final = 25
_NO_TEXTS: Final = struct.pack(">iiiI", 12, 0, 0, _TEXT)
_encode: Final = msgspec.json.Encoder().encode


class Shared(NamedTuple):
    """What many of a batch have in common."""

    channel: int
    snapshot_version: int
    catalogue_version: int
    campaign_id: UUID | None
    placement: str
    policy: str
    reason_codes: tuple[str, ...]


class Row(msgspec.Struct, frozen=True, gc=False):
    """A decision as it is logged; the columns are explained in the migration that makes the table. `drawn` as `drawn_columns` writes it."""

    user_id: int
    decision_id: UUID
    user_version: int
    action: int
    in_holdout: bool
    in_control: bool
    is_degraded: bool
    send_probability: float
    shared: Shared
    request: DecisionInputs
    tastes: bytes
    eligible: bytes
    personal: bytes
    drawn: bytes


def encoded(rows: Sequence[Row]) -> bytes:
    """What COPY decisions (COLUMNS) FROM STDIN takes."""
    requests: dict[int, bytes] = {}
    known: dict[Shared, bytes] = {}
    parts = [HEADER]
    length = _LENGTH.pack
    for row in rows:
        request = requests.get(id(row.request))  # the same for many of a batch
        if request is None:
            request = requests[id(row.request)] = request_of(row.request)
        told = known.get(row.shared)
        if told is None:
            told = known[row.shared] = shared(row.shared)
        eligible, tastes, personal = row.eligible, row.tastes, row.personal
        parts += (
            _own(row), told, request, length(len(eligible)), eligible, length(len(tastes)), tastes, length(len(personal)), personal,
            row.drawn,
        )  # fmt: skip  # a field is its bytes with their length before them
    parts.append(TRAILER)
    return b"".join(parts)


def _own(row: Row) -> bytes:
    return _OWN.pack(
        len(COLUMNS), 8, row.user_id, 16, row.decision_id.bytes, 8, row.user_version, 2, row.action, 1, row.in_holdout,
        1, row.in_control, 1, row.is_degraded, 8, row.send_probability,
    )  # fmt: skip  # each with its length


def shared(given: Shared) -> bytes:
    """The columns from channel to reason_codes."""
    versions = (8, given.snapshot_version, 8, given.catalogue_version)
    head = _SHARED.pack(2, given.channel, *versions, 2, FEATURE_SET)
    campaign = _NULL if given.campaign_id is None else sized(given.campaign_id.bytes)
    return b"".join((head, campaign, _text(given.placement), _text(given.policy), _texts(given.reason_codes)))


def request_of(given: DecisionInputs) -> bytes:
    """The column request."""
    return sized(_encode(given))


def sized(data: bytes) -> bytes:
    """A field: its bytes with their length before them."""
    return _LENGTH.pack(len(data)) + data


@lru_cache(maxsize=1024)
def _text(given: str) -> bytes:
    return sized(given.encode())


@lru_cache(maxsize=256)
def _texts(given: tuple[str, ...]) -> bytes:
    if not given:
        return _NO_TEXTS
    body = b"".join([_text(one) for one in given])
    return struct.pack(">iiiIii", 20 + len(body), 1, 0, _TEXT, len(given), 1) + body
