"""The keys that e-mail addresses and secrets of webhooks are sealed by: of WELLTIMED_ENCRYPTION_KEYS, else of a file that is made once."""

import base64
import os
import secrets
from pathlib import Path
from typing import Final

from push.sealing import KEY_BYTES, Sealer
from service.settings import Settings, SettingsError, encryption_keys

FILE: Final = "encryption.key"


class Encryption:
    """The keys of this installation, read when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sealer: Sealer | None = None

    def sealer(self) -> Sealer:
        """Makes the file if there is none. Raises SettingsError when it cannot be read or made."""
        if self._sealer is None:
            told = self._settings.encryption_keys
            keys = _of_file(self._settings.data_dir / FILE) if told is None else encryption_keys(told)
            self._sealer = Sealer(keys)
        return self._sealer

    def seal(self, text: str, about: str) -> str:
        """Raises SettingsError."""
        return self.sealer().seal(text, about)

    def open(self, text: str, about: str) -> str:
        """Raises push.sealing.NotOpened, SettingsError."""
        return self.sealer().open(text, about)


def _of_file(path: Path) -> list[bytes]:
    try:
        if not path.exists():
            _make(path)
        keys = [base64.b64decode(line, validate=True) for line in path.read_text().split()]
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {type(error).__name__}; or set WELLTIMED_ENCRYPTION_KEYS") from None
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise SettingsError(f"{path} must hold keys of {KEY_BYTES} bytes in base64, one a line")
    return keys


def _make(path: Path) -> None:
    """A new key, whole or not at all; of two who make it at once one is first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(begun, path)
        except FileExistsError:
            return
        _sync(path.parent)
    finally:
        begun.unlink()


def _sync(folder: Path) -> None:
    """A file whose name a crash takes away is as lost as one without bytes, and with the key all that it sealed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
