"""Secrets in files, and what Firebase is told by them. Nothing is sent: `welltimed push test` does that."""

import os
import stat
from pathlib import Path
from typing import Any, Final

import jwt

from service.doctor.finding import Finding, Group
from service.service_account import read_account
from service.settings import Settings, SettingsError

NEEDED: Final = ("project_id", "client_email", "private_key", "token_uri")

_GROUP: Final = Group("credentials")


def look(settings: Settings) -> list[Finding]:
    """All findings about credentials."""
    path = settings.firebase_credentials
    mail = _mail(settings)
    if path is None:
        advice = "set WELLTIMED_FIREBASE_CREDENTIALS to reach real phones"
        return [_GROUP.warn("Firebase", "none: the local stand-in takes all messages", advice), mail]
    try:
        account = read_account(path)
    except SettingsError as error:
        return [_GROUP.fail("Firebase", str(error), "download the service account's JSON file again"), mail]
    return [_account(account), _mode(path), mail]


def _account(account: dict[str, Any]) -> Finding:
    missing = [name for name in NEEDED if not isinstance(account.get(name), str)]
    if missing:
        return _GROUP.fail("Firebase", f"the file lacks {', '.join(missing)}", "download it again")
    try:
        jwt.encode({}, account["private_key"], "RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        return _GROUP.fail("Firebase", "the private key cannot be read", "download the file again")
    return _GROUP.ok("Firebase", f"project {account['project_id']}; `welltimed push test` asks Google")


def _mode(path: Path) -> Finding:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    says, advice = f"{path} has mode {mode:04o}", f"chmod 600 {path}"
    if found.st_uid not in {0, os.geteuid()}:
        return _GROUP.warn("file of Firebase", f"{path} belongs to uid {found.st_uid}", "whoever owns it can change it")
    others = stat.S_IRWXO | stat.S_IWGRP
    return _GROUP.graded("file of Firebase", says, advice, warn=bool(mode & stat.S_IRGRP), fail=bool(mode & others))


def _mail(settings: Settings) -> Finding:
    told = "none: no e-mail is sent" if settings.smtp_url is None else "a server is named"
    return _GROUP.ok("e-mail", told)
