"""API keys and identity settings in PostgreSQL. Of a secret only its SHA-256 and first characters are kept."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from schema.access import IdentityKey, IdentitySettings, Key, KeyKind, Scope
from schema.ids import stable_entropy, uuid7
from service.settings import Secret

PREFIX_CHARACTERS: Final = 8

_INSERT: Final = """
    insert into api_keys (key_id, kind, secret_sha256, prefix, scopes, created_at)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (secret_sha256) do nothing
"""
_LIST: Final = (
    "select key_id, kind, scopes, prefix, created_at, revoked_at from api_keys order by created_at desc, key_id desc"
)
# Locked, so that two admins cannot revoke each other at the same time.
_ADMINS: Final = """
    select key_id from api_keys where kind = 'sk' and 'admin' = any(scopes) and revoked_at is null order by key_id for update
"""
_REVOKE: Final = """
    update api_keys set revoked_at = coalesce(revoked_at, $2) where key_id = $1 returning key_id
"""
_ACTIVE: Final = "select key_id, kind, secret_sha256, scopes from api_keys where revoked_at is null"
_IDENTITY: Final = "select mode, keys from identity_settings"
_IDENTITY_LOCKED: Final = "select mode, keys from identity_settings for update"
_SET_IDENTITY: Final = "update identity_settings set mode = $1, keys = $2"


class LastAdminKey(Exception):
    """Without this key nobody could make another one."""


class ActiveKey(NamedTuple):
    """A key that may be used; `scopes` of a secret key."""

    key_id: UUID
    kind: KeyKind
    scopes: frozenset[str]


def new_secret(kind: KeyKind) -> str:
    """A secret of 256 random bits that tells its kind: pk_… or sk_…."""
    return f"{kind}_{secrets.token_urlsafe(32)}"


def digest_of(secret: str) -> bytes:
    """The SHA-256 by which a secret is found: enough for 256 random bits, where a password would need a slow hash."""
    return hashlib.sha256(secret.encode()).digest()


async def create_key(
    connection: Any, key_id: UUID, kind: KeyKind, scopes: Sequence[Scope], *, secret: Secret, now: datetime
) -> Key:
    """Stores a new key; a secret that is stored already stays as it is."""
    text = secret.reveal()
    prefix = text[:PREFIX_CHARACTERS]
    await connection.execute(_INSERT, key_id, kind, digest_of(text), prefix, list(scopes), now)
    return Key(key_id=key_id, kind=kind, scopes=list(scopes), prefix=prefix, created_at=now)


async def ensure_bootstrap_key(connection: Any, secret: Secret, now: datetime) -> None:
    """Makes `secret` an admin key; once made, and also once revoked, it stays as it is."""
    key_id = uuid7(now, stable_entropy(digest_of(secret.reveal())))
    await create_key(connection, key_id, "sk", ["admin"], secret=secret, now=now)


async def list_keys(connection: Any) -> list[Key]:
    """All keys, the newest first."""
    return msgspec.convert([dict(row) for row in await connection.fetch(_LIST)], list[Key])


async def revoke_key(connection: Any, key_id: UUID, now: datetime) -> bool:
    """Revokes a key for ever; False when there is no such key."""
    return await connection.fetchval(_REVOKE, key_id, now) is not None


async def revoke_unless_last(connection: Any, key_id: UUID, now: datetime) -> bool:
    """As `revoke_key`, in a transaction of its own. Raises LastAdminKey."""
    async with connection.transaction():
        if [row["key_id"] for row in await connection.fetch(_ADMINS)] == [key_id]:
            raise LastAdminKey
        return await revoke_key(connection, key_id, now)


async def active_keys(connection: Any) -> dict[bytes, ActiveKey]:
    """The keys that may be used, by the SHA-256 of their secret."""
    rows = await connection.fetch(_ACTIVE)
    return {row["secret_sha256"]: ActiveKey(row["key_id"], row["kind"], frozenset(row["scopes"])) for row in rows}


async def read_identity(connection: Any, *, for_update: bool = False) -> IdentitySettings:
    """The identity settings with their secrets, locked until the transaction ends if they are to be changed."""
    row = await connection.fetchrow(_IDENTITY_LOCKED if for_update else _IDENTITY)
    return IdentitySettings(mode=row["mode"], keys=msgspec.convert(row["keys"], list[IdentityKey]))


async def write_identity(connection: Any, settings: IdentitySettings) -> None:
    """Replaces the identity settings."""
    await connection.execute(_SET_IDENTITY, settings.mode, msgspec.to_builtins(settings.keys))
