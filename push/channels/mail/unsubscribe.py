"""The link in every e-mail that ends all of them: signed, so that nobody can unsubscribe another, and good for as long as the mail is kept."""

import base64
import binascii
import hmac
import struct
from typing import Final

CHARACTERS: Final = 32

UNSUBSCRIBE: Final = "unsubscribe"
"""The purpose of the key that signs these links."""

_USER: Final = struct.Struct(">q")
_MAC_BYTES: Final = 16
_PURPOSE: Final = b"unsubscribe from e-mail\x00"


def token_of(key: bytes, user_id: int) -> str:
    """A token of 32 characters (base64url) that speaks for this person about their e-mail, and nothing else."""
    told = _USER.pack(user_id)
    return base64.urlsafe_b64encode(told + _mac(key, told)).decode()


def user_of(key: bytes, token: str) -> int | None:
    """Our id of the person it speaks for; None when it is forged."""
    if len(token) != CHARACTERS:
        return None
    try:
        told = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(told[_USER.size :], _mac(key, told[: _USER.size])):
        return None
    return int(_USER.unpack(told[: _USER.size])[0])


def _mac(key: bytes, told: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + told, "sha256")[:_MAC_BYTES]
