"""API keys and the settings of user tokens, as an operator sends and sees them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, field

from schema.base import Incoming, Kept
from schema.discreet import shown_without

Scope = Literal["ingest", "offers", "users", "campaigns", "campaigns:approve", "reports", "admin"]
KeyKind = Literal["pk", "sk"]
IdentityMode = Literal["disabled", "optional", "required"]
Algorithm = Literal["HS256", "RS256", "ES256"]


class NewKey(Incoming, frozen=True):
    """The body of POST /v1/keys. A publishable key (pk) has no scopes, a secret key (sk) at least one; `admin` implies all."""

    kind: KeyKind
    scopes: list[Scope] = field(default_factory=list)


class Key(Kept, frozen=True):
    """A key without its secret, which nobody can read again; `prefix` tells one from another."""

    key_id: UUID
    kind: KeyKind
    scopes: list[Scope]
    prefix: str
    created_at: datetime
    revoked_at: datetime | None = None


class CreatedKey(Kept, frozen=True):
    """The answer to POST /v1/keys: the only time the secret is shown; null when the answer is a replay."""

    key_id: UUID
    kind: KeyKind
    scopes: list[Scope]
    prefix: str
    created_at: datetime
    secret: str | None

    def __repr__(self) -> str:
        return shown_without(self, "secret")


class Keys(Kept, frozen=True):
    """All keys, the newest first."""

    data: list[Key]


class IdentityKey(Incoming, frozen=True):
    """A key that signs user tokens: `secret` for HS256, `public_key` (PEM) for RS256 and ES256."""

    kid: Annotated[str, Meta(min_length=1, max_length=64)]
    alg: Algorithm
    public_key: Annotated[str, Meta(max_length=4096)] | None = None
    secret: Annotated[str, Meta(max_length=1024)] | None = None

    def __repr__(self) -> str:
        return shown_without(self, "secret")


class IdentitySettings(Incoming, frozen=True):
    """The body of PUT /v1/identity: whether publishable keys need a user token, and who signs it.

    An HS256 key without `secret` keeps the secret stored under its kid.
    """

    mode: IdentityMode
    keys: Annotated[list[IdentityKey], Meta(max_length=3)] = field(default_factory=list)


class ShownIdentityKey(Kept, frozen=True, omit_defaults=True):
    """A signing key as it is shown: without its secret."""

    kid: str
    alg: Algorithm
    public_key: str | None = None


class ShownIdentity(Kept, frozen=True):
    """The answer of GET and PUT /v1/identity."""

    mode: IdentityMode
    keys: list[ShownIdentityKey]
