import time
from typing import Any

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from schema.access import Algorithm, IdentityKey
from service.store import user_tokens
from service.store.user_tokens import InvalidUserToken, UnusableKey, UserTokens, usable_key

SECRET = "s" * 32
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
SIGNERS: dict[Algorithm, Any] = {"HS256": SECRET, "RS256": RSA, "ES256": EC}


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


KEYS = [
    IdentityKey(kid="h", alg="HS256", secret=SECRET),
    IdentityKey(kid="r", alg="RS256", public_key=pem(RSA)),
    IdentityKey(kid="e", alg="ES256", public_key=pem(EC)),
]


def token(kid: str | None = "h", alg: Algorithm = "HS256", signer: Any = None, **claims: Any) -> str:
    payload = {"sub": "ann", "exp": time.time() + 600} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return jwt.encode(payload, signer or SIGNERS[alg], algorithm=alg, headers={"kid": kid} if kid else None)


@pytest.mark.parametrize(("kid", "alg"), [("h", "HS256"), ("r", "RS256"), ("e", "ES256")])
def test_a_good_token_names_its_user(kid: str, alg: Algorithm) -> None:
    tokens = UserTokens(KEYS)
    good = token(kid, alg, aud="app", exp=10**400)
    assert tokens.subject_of(good) == tokens.subject_of(good) == "ann"


BAD = [
    "",
    "a.b.c",
    "x" * 5000,
    token(None),
    token("other"),
    token(exp=None),
    token(sub=None),
    token(sub=""),
    token(sub="x" * 129),
    token(sub="a\0b"),
    token(sub="a/b"),
    token(sub="\ud83d"),
    token(exp=time.time() - 60),
    token(exp=float("inf")),
    token(exp="soon"),
    token(nbf=time.time() + 600),
    token(signer="t" * 32),
    token("r", "RS256", rsa.generate_private_key(65537, 2048)),
    token("r", "HS256"),  # the algorithm is the key's, not the token's
    token("h", "RS256"),
    jwt.encode({"sub": "ann", "exp": time.time() + 60}, None, algorithm="none", headers={"kid": "h"}),
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_token_is_refused(bad: str) -> None:
    with pytest.raises(InvalidUserToken):
        UserTokens(KEYS).subject_of(bad)


def test_a_public_key_is_no_hmac_secret() -> None:
    forged = (
        jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"r"}')
        + b"."
        + jwt.utils.base64url_encode(b'{"sub":"ann","exp":9999999999}')
    )
    signature = jwt.get_algorithm_by_name("HS256").sign(forged, pem(RSA).encode())
    with pytest.raises(InvalidUserToken):
        UserTokens(KEYS).subject_of((forged + b"." + jwt.utils.base64url_encode(signature)).decode())


def test_a_remembered_token_still_expires() -> None:
    tokens = UserTokens(KEYS)
    with time_machine.travel(1_800_000_000, tick=False) as traveller:
        short = token(exp=1_800_000_020)
        assert tokens.subject_of(short) == "ann"
        traveller.shift(20 + user_tokens.LEEWAY_S + 1)
        with pytest.raises(InvalidUserToken, match="expired"):
            tokens.subject_of(short)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_tokens, "CACHED_MAX", 3)
    tokens = UserTokens(KEYS)
    for user in range(10):
        assert tokens.subject_of(token(sub=f"u{user}")) == f"u{user}"
        assert len(tokens._believed) <= 3


PRIVATE = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "key",
    [
        IdentityKey(kid="k", alg="HS256", secret="short"),
        IdentityKey(kid="k", alg="HS256", public_key=pem(RSA)),
        IdentityKey(kid="k", alg="HS256", secret=pem(RSA)),
        IdentityKey(kid="k", alg="RS256"),
        IdentityKey(kid="k", alg="RS256", public_key="no key"),
        IdentityKey(kid="k", alg="RS256", public_key=pem(EC)),
        IdentityKey(kid="k", alg="RS256", public_key=pem(rsa.generate_private_key(65537, 1024))),
        IdentityKey(kid="k", alg="RS256", public_key=pem(RSA), secret=SECRET),
        IdentityKey(kid="k", alg="ES256", public_key=pem(RSA)),
        IdentityKey(kid="k", alg="ES256", public_key=pem(ec.generate_private_key(ec.SECP384R1()))),
        IdentityKey(kid="k", alg="ES256", public_key=PRIVATE),
    ],
)
def test_a_key_that_does_not_fit_its_algorithm_is_refused(key: IdentityKey) -> None:
    with pytest.raises(UnusableKey):
        usable_key(key)
