"""Texts that nobody reads in the database alone: AES-256-GCM under keys that live elsewhere (docs/decisions/0014)."""

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
EMAIL: Final = "e-mail address"

_MARK: Final = "sealed1"
_NONCE_BYTES: Final = 12
_SEALED: Final = re.compile(rf"{_MARK}\.([0-9a-f]{{16}})\.([A-Za-z0-9_-]+={{0,2}})")

Unseal = Callable[[str, str], str]
"""The text of a sealed one, which says what it is about; one that was never sealed is itself. Raises NotOpened."""


class NotOpened(Exception):
    """A sealed text cannot be read: its key is not here, or it was changed, or it is of something else."""


class Sealer:
    """Seals by the first of its keys, opens by all. A sealed text names its key by 16 digits of its SHA-256."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises ValueError when there is none, or one has not 32 bytes."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._ciphers = {hashlib.sha256(key).hexdigest()[:16]: AESGCM(key) for key in keys}
        self._current = next(iter(self._ciphers))
        self.prefix = f"{_MARK}.{self._current}."
        """With which begins all that it seals."""

    def seal(self, text: str, about: str) -> str:
        """Two seals of a text differ; what it is `about` must be known to open it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        closed = self._ciphers[self._current].encrypt(nonce, text.encode(), about.encode())
        return self.prefix + _text_of(nonce + closed)

    def open(self, text: str, about: str) -> str:
        """As Unseal."""
        found = _SEALED.fullmatch(text)
        if found is None:
            return text
        cipher = self._ciphers.get(found[1])
        if cipher is None:
            raise NotOpened(f"it is sealed by key {found[1]}, which is not here")
        try:
            closed = _bytes_of(found[2])
            return cipher.decrypt(closed[:_NONCE_BYTES], closed[_NONCE_BYTES:], about.encode()).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise NotOpened("it was changed, or is of something else") from None


def _text_of(closed: bytes) -> str:
    return base64.urlsafe_b64encode(closed).decode()


def _bytes_of(text: str) -> bytes:
    closed = base64.b64decode(text, altchars=b"-_", validate=True)
    if _text_of(closed) != text:
        raise ValueError("bits that base64 leaves unused are set")
    return closed


def plain(text: str, _about: str) -> str:
    """The Unseal of who has no keys."""
    if _SEALED.fullmatch(text):
        raise NotOpened("there is no key here")
    return text


def about_webhook(webhook_id: str) -> str:
    """What the secrets of an endpoint are about."""
    return f"secret of webhook {webhook_id}"
