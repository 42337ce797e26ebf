"""Sealing and opening for routes: what the keys do not allow is told as an error of the API."""

from push.sealing import NotOpened
from service.encryption import Encryption
from service.errors import ApiError
from service.settings import SettingsError
from service.telemetry import logger

_LOG = logger("encryption")


def seal(encryption: Encryption, text: str, about: str) -> str:
    """Raises ApiError 503 when there is no key."""
    try:
        return encryption.seal(text, about)
    except SettingsError as error:
        raise _unavailable(error) from None


def unsealed(encryption: Encryption, text: str, about: str) -> str:
    """Raises ApiError 503 when its key is not here."""
    try:
        return encryption.open(text, about)
    except (SettingsError, NotOpened) as error:
        raise _unavailable(error) from None


def _unavailable(error: Exception) -> ApiError:
    _LOG.error("no key to seal or open by", reason=str(error))
    return ApiError(
        503, "unavailable", "This installation lacks the key it seals addresses and secrets by.", retry_after_s=60
    )
