"""The secrets this installation signs by; made by a migration, the same for all its processes."""

from typing import Any, Final

_KEY: Final = "select key from signing_keys where purpose = $1"


class SigningKey:
    """One of them, read once."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._key: bytes | None = None

    async def of(self, connection: Any) -> bytes:
        """32 bytes."""
        if self._key is None:
            self._key = bytes(await connection.fetchval(_KEY, self._purpose))
        return self._key


def feedback_key() -> SigningKey:
    """By which tokens are signed that let a phone answer one decision."""
    return SigningKey("feedback")
