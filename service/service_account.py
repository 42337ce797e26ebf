"""The service account by which push speaks to FCM."""

import json
from pathlib import Path
from typing import Any

from service.settings import SettingsError


def read_account(path: Path | None) -> dict[str, Any]:
    """The service account in a JSON file.

    Raises:
        SettingsError: there is no such file, or it is not one.
    """
    if path is None:
        raise SettingsError(
            "WELLTIMED_FIREBASE_CREDENTIALS must name a service account's file; only a whole `welltimed serve` has a stand-in for it"
        )
    try:
        account: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"WELLTIMED_FIREBASE_CREDENTIALS: {error}") from None
    if not isinstance(account, dict) or account.get("type") != "service_account":
        raise SettingsError(f"WELLTIMED_FIREBASE_CREDENTIALS: {path} is not a service account")
    return account
