"""What a push hands to the phone so that it may answer exactly this decision, with no user token at hand: signed, and bounded in time."""

import base64
import binascii
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


def sign(key: bytes, decision_id: UUID, user_id: int, until_s: int) -> str:
    """A token of 38 characters (base64url) that speaks for this person about this decision, until a Unix second."""
    head = _HEAD.pack(until_s, user_id)
    return base64.urlsafe_b64encode(head + _mac(key, decision_id, head)).rstrip(b"=").decode()


def sign_many(key: bytes, decision_ids: Bytes, user_ids: npt.NDArray[np.int64], until_s: int) -> list[bytes]:
    """`sign` for many people, of decisions (n, 16)."""
    told = np.zeros((len(user_ids), _WHOLE_BYTES), np.uint8)
    told[:, :4] = np.frombuffer(_HEAD.pack(until_s, 0)[:4], np.uint8)
    told[:, 4 : _HEAD.size] = user_ids.astype(">i8").view(np.uint8).reshape(-1, 8)
    heads, ids = told[:, : _HEAD.size].tobytes(), decision_ids.tobytes()
    macs = [
        hmac.digest(key, _PURPOSE + ids[16 * n : 16 * n + 16] + heads[12 * n : 12 * n + 12], "sha256")
        for n in range(len(user_ids))
    ]
    of_each = np.frombuffer(b"".join(macs), np.uint8).reshape(-1, 32)
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


def _mac(key: bytes, decision_id: UUID, head: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + decision_id.bytes + head, "sha256")[:_MAC_BYTES]
