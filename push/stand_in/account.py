"""The OAuth side of the stand-in: a throw-away service account, its token endpoint, the bearer tokens it gave out."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

PROJECT: Final = "welltimed-stand-in"
TOKEN_LIFE_S: Final = 3599

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCE = "https://oauth2.googleapis.com/token"  # what Google's own library claims, whatever its token_uri
_TOKENS_MAX = 1000


def make_service_account(base_url: str) -> dict[str, str]:
    """A service account as Firebase would hand it out, for a stand-in served at `base_url`; its key is new."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": secrets.token_hex(20),
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": f"push@{PROJECT}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{base_url}/token",
    }


class Issuer:
    """Grants bearer tokens to one service account. Lives in real time, as Google's clock would."""

    def __init__(self, service_account: Mapping[str, Any]) -> None:
        key = load_pem_private_key(service_account["private_key"].encode(), password=None)
        self._public_key = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self._email: str = service_account["client_email"]
        self._valid_until: OrderedDict[str, float] = OrderedDict()
        self.granted = 0

    def grant(self, form: bytes) -> str | None:
        """A new bearer token for a form that holds an assertion signed by the account; none for any other."""
        fields = parse_qs(form.decode(errors="replace"))
        if fields.get("grant_type") != [_GRANT]:
            return None
        try:
            assertion = jwt.decode(
                fields.get("assertion", [""])[0],
                self._public_key,
                algorithms=["RS256"],
                audience=_AUDIENCE,
                issuer=self._email,
                options={"require": ["iat", "exp", "iss", "aud", "scope"]},
            )
        except jwt.InvalidTokenError:
            return None
        return self._issue() if assertion["scope"] else None

    def accepts(self, authorization: str) -> bool:
        """Whether an Authorization header carries a token that we gave out and that still lives."""
        scheme, _, token = authorization.partition(" ")
        return scheme == "Bearer" and self._valid_until.get(token, 0.0) > time.monotonic()

    def revoke_all(self) -> None:
        """Forget every token, as when the account's key is withdrawn."""
        self._valid_until.clear()

    def _issue(self) -> str:
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._valid_until[token] = time.monotonic() + TOKEN_LIFE_S
        self.granted += 1
        if len(self._valid_until) > _TOKENS_MAX:
            self._valid_until.popitem(last=False)
        return token
