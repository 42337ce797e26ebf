"""What a push hands to the phone so that it may answer exactly this decision, with no user token at hand: signed, and bounded in time."""

import base64
import binascii
import hashlib
import hmac
import struct
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_HEAD: Final = struct.Struct(">Iq")
"""The Unix second from which it is void, and our id of the person."""

_MAC_BYTES: Final = 16
CHARACTERS: Final = 38
_WHOLE_BYTES: Final = 30
_WHOLE_CHARACTERS: Final = 40
"""Of a token with the zeros that let the next one begin with a character of its own."""

_PURPOSE: Final = b"feedback of one decision\x00"

_BLOCK_BYTES: Final = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
"""What RFC 2104 makes of a key, byte by byte."""


def sign(key: bytes, decision_id: UUID, user_id: int, until_s: int) -> str:
    """A token of 38 characters (base64url) that speaks for this person about this decision, until a Unix second."""
    head = _HEAD.pack(until_s, user_id)
    return base64.urlsafe_b64encode(head + _mac(key, decision_id, head)).rstrip(b"=").decode()


def sign_many(key: bytes, decision_ids: Bytes, user_ids: npt.NDArray[np.int64], until_s: int) -> list[bytes]:
    """`sign` for many people, of decisions (n, 16)."""
    told = np.zeros((len(user_ids), _WHOLE_BYTES), np.uint8)
    told[:, :4] = np.frombuffer(_HEAD.pack(until_s, 0)[:4], np.uint8)
    told[:, 4 : _HEAD.size] = user_ids.astype(">i8").view(np.uint8).reshape(-1, 8)
    signed = np.concatenate([decision_ids, told[:, : _HEAD.size]], axis=1).tobytes()
    of_each = np.frombuffer(_macs(key, signed, decision_ids.shape[1] + _HEAD.size), np.uint8).reshape(-1, 32)
    told[:, _HEAD.size : _HEAD.size + _MAC_BYTES] = of_each[:, :_MAC_BYTES]
    written = base64.urlsafe_b64encode(told.tobytes())
    return [written[at : at + CHARACTERS] for at in range(0, len(written), _WHOLE_CHARACTERS)]


def read(key: bytes, decision_id: UUID, token: str, now: datetime) -> int | None:
    """Our id of the person it speaks for; None when it is forged, void by now, or of another decision."""
    if len(token) != CHARACTERS:
        return None
    try:
        told = base64.b64decode(token + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    head, mac = told[: _HEAD.size], told[_HEAD.size :]
    if not hmac.compare_digest(mac, _mac(key, decision_id, head)):
        return None
    until_s, user_id = _HEAD.unpack(head)
    return None if now >= datetime.fromtimestamp(until_s, UTC) else int(user_id)


def _macs(key: bytes, signed: bytes, size: int) -> bytes:
    """HMAC-SHA256 of each `size` bytes: what is alike in all is hashed once, which hmac.digest does anew for each."""
    block = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\x00")
    inside = hashlib.sha256(block.translate(_INNER) + _PURPOSE)
    outside = hashlib.sha256(block.translate(_OUTER))
    found = []
    for at in range(0, len(signed), size):
        inner, outer = inside.copy(), outside.copy()
        inner.update(signed[at : at + size])
        outer.update(inner.digest())
        found.append(outer.digest())
    return b"".join(found)


def _mac(key: bytes, decision_id: UUID, head: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + decision_id.bytes + head, "sha256")[:_MAC_BYTES]
