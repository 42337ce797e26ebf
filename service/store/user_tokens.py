"""User tokens: JWTs that an app's backend signs to say who its user is."""

import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import get_default_algorithms

from schema.access import IdentityKey
from schema.discreet import shown_without
from schema.external_id import ID_RULE, is_fit

CACHE_S: Final = 60.0
CACHED_MAX: Final = 4096
LEEWAY_S: Final = 10
TOKEN_CHARACTERS_MAX: Final = 4096
HMAC_BYTES_MIN: Final = 32
RSA_BITS_MIN: Final = 2048

_OPTIONS: Final[Any] = {"require": ["exp", "sub"], "verify_aud": False}


class UnusableKey(Exception):
    """An identity key cannot verify tokens; the message says why."""


class InvalidUserToken(Exception):
    """A user token that is not to be believed; the message says why."""


class _Verifier(NamedTuple):
    alg: str
    key: Any

    def __repr__(self) -> str:
        return shown_without(self, "key")


class _Believed(NamedTuple):
    subject: str
    until_s: float


class UserTokens:
    """Verifies tokens against a fixed set of keys, each with its own algorithm, and remembers the good ones for a minute."""

    def __init__(self, keys: Iterable[IdentityKey]) -> None:
        """Raises UnusableKey."""
        self._verifiers = {key.kid: _Verifier(key.alg, usable_key(key)) for key in keys}
        self._believed: dict[str, _Believed] = {}

    def subject_of(self, token: str) -> str:
        """The user id a token speaks for. Raises InvalidUserToken. Tokens live in real time also in a virtual world."""
        now_s = time.time()
        known = self._believed.get(token)
        if known is not None and now_s < known.until_s:
            return known.subject
        claims = self._verified(token)
        subject = claims["sub"]
        if not is_fit(subject):
            raise InvalidUserToken(f"its sub is no id: {ID_RULE.rstrip('.')}")
        if len(self._believed) >= CACHED_MAX:
            self._believed.clear()
        self._believed[token] = _Believed(subject, min(now_s + CACHE_S, int(claims["exp"]) + LEEWAY_S))
        return str(subject)

    def _verified(self, token: str) -> dict[str, Any]:
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise InvalidUserToken(f"it is longer than {TOKEN_CHARACTERS_MAX} characters")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            verifier = self._verifiers.get(kid) if isinstance(kid, str) else None
            if verifier is None:
                raise InvalidUserToken("its kid names none of the identity keys")
            return jwt.decode(token, verifier.key, algorithms=[verifier.alg], options=_OPTIONS, leeway=LEEWAY_S)
        except jwt.ExpiredSignatureError:
            raise InvalidUserToken("it has expired") from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidUserToken(f"it cannot be verified ({type(error).__name__})") from None


def usable_key(key: IdentityKey) -> Any:
    """The key in the form PyJWT takes. Raises UnusableKey when its kind, curve or length does not fit its algorithm."""
    text = key.secret if key.alg == "HS256" else key.public_key
    if text is None or (key.public_key if key.alg == "HS256" else key.secret) is not None:
        raise UnusableKey("HS256 takes a secret, RS256 and ES256 take a public_key")
    try:
        prepared = get_default_algorithms()[key.alg].prepare_key(text)
    except (jwt.PyJWTError, ValueError, TypeError):
        raise UnusableKey(f"this is not a key for {key.alg}") from None
    if key.alg == "HS256" and len(text.encode()) < HMAC_BYTES_MIN:
        raise UnusableKey(f"the secret must have at least {HMAC_BYTES_MIN} bytes")
    if key.alg == "RS256" and not (isinstance(prepared, RSAPublicKey) and prepared.key_size >= RSA_BITS_MIN):
        raise UnusableKey(f"RS256 takes a public RSA key of at least {RSA_BITS_MIN} bits in PEM")
    if key.alg == "ES256" and not (
        isinstance(prepared, EllipticCurvePublicKey) and isinstance(prepared.curve, SECP256R1)
    ):
        raise UnusableKey("ES256 takes a public key on the curve P-256 in PEM")
    return prepared
