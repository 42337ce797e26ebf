"""Keys and the signers of user tokens: for admins only."""

import os
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from litestar import Controller, Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from schema.access import CreatedKey, IdentityKey, IdentitySettings, Keys, NewKey, ShownIdentity, ShownIdentityKey
from schema.ids import uuid7
from schema.problem import FieldError
from service.clock import Clock
from service.errors import ApiError, invalid_field
from service.routes.acting import act_once
from service.routes.audit import acting
from service.routes.caller import recorded_as
from service.settings import Secret
from service.store import access as stored
from service.store import audit
from service.store.access_cache import AccessCache
from service.store.user_tokens import UnusableKey, usable_key

_ADMIN: Final = {"scope": "admin"}


class KeyController(Controller):
    """API keys: made, listed, revoked."""

    path = "/v1/keys"
    tags = ("access",)
    opt = _ADMIN

    @post(status_code=201)
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[NewKey],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        access: NamedDependency[SkipValidation[AccessCache]],
    ) -> Response[CreatedKey]:
        """Makes a key and shows its secret, once: a replay for the same Idempotency-Key answers without it."""
        if (data.kind == "sk") != bool(data.scopes):
            raise invalid_field("/scopes", "A secret key needs at least one scope; a publishable key has none.")
        now = await clock.now()

        async def effect(connection: Any) -> CreatedKey:
            await audit.speak(connection, recorded_as(request))
            secret = stored.new_secret(data.kind)
            scopes = sorted(set(data.scopes))
            key = await stored.create_key(
                connection, uuid7(now, os.urandom(10)), data.kind, scopes, secret=Secret(secret), now=now
            )
            return CreatedKey(
                key_id=key.key_id, kind=key.kind, scopes=scopes, prefix=key.prefix, created_at=now, secret=secret
            )

        response = await act_once(request, pool, now, effect, status=201, kept_as=_without_secret)
        await access.reload()
        return response

    @get(status_code=200)
    async def show(self, pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> Keys:
        """All keys, revoked ones too, without their secrets."""
        return Keys(data=await stored.list_keys(pool))

    @delete("/{key_id:uuid}", status_code=204)
    async def revoke(
        self,
        request: Request[Any, Any, Any],
        key_id: FromPath[UUID],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        access: NamedDependency[SkipValidation[AccessCache]],
    ) -> None:
        """Revokes a key for ever: at once in this worker, in every other within two seconds. 409 for the last admin key."""
        now = await clock.now()
        try:
            async with acting(request, pool) as connection:
                is_known = await stored.revoke_unless_last(connection, key_id, now)
        except stored.LastAdminKey:
            raise ApiError(409, "conflict", "This is the last admin key: make another one first.") from None
        if not is_known:
            raise ApiError(404, "not_found", "There is no such key.")
        await access.reload()


def _without_secret(key: CreatedKey) -> CreatedKey:
    return msgspec.structs.replace(key, secret=None)


class IdentityController(Controller):
    """Whether publishable keys need a user token, and who signs it."""

    path = "/v1/identity"
    tags = ("access",)
    opt = _ADMIN

    @get(status_code=200)
    async def show(self, pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> ShownIdentity:
        """The settings; secrets are never shown."""
        async with pool.acquire() as connection:
            return _shown(await stored.read_identity(connection))

    @put(status_code=200)
    async def replace(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[IdentitySettings],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        access: NamedDependency[SkipValidation[AccessCache]],
    ) -> ShownIdentity:
        """Replaces the settings."""
        async with acting(request, pool) as connection:
            before = await stored.read_identity(connection, for_update=True)
            settings = _checked(data, before)
            await stored.write_identity(connection, settings)
        await access.reload()
        return _shown(settings)


def _checked(sent: IdentitySettings, before: IdentitySettings) -> IdentitySettings:
    """The settings with the secrets that were stored before filled in. Raises ApiError 400 for keys that cannot be used."""
    secrets = {key.kid: key.secret for key in before.keys if key.alg == "HS256"}
    keys = [
        msgspec.structs.replace(key, secret=secrets.get(key.kid)) if key.alg == "HS256" and key.secret is None else key
        for key in sent.keys
    ]
    errors = [error for index, key in enumerate(keys) if (error := _key_error(f"/keys/{index}", key)) is not None]
    if errors:
        raise ApiError(400, "invalid_field", "Some keys cannot be used; see errors.", errors)
    if len({key.kid for key in keys}) < len(keys):
        raise invalid_field("/keys", "Every kid must be named once.")
    return msgspec.structs.replace(sent, keys=keys)


def _key_error(pointer: str, key: IdentityKey) -> FieldError | None:
    try:
        usable_key(key)
    except UnusableKey as error:
        return FieldError(pointer=pointer, code="invalid_field", detail=str(error))
    return None


def _shown(settings: IdentitySettings) -> ShownIdentity:
    keys = [ShownIdentityKey(kid=key.kid, alg=key.alg, public_key=key.public_key) for key in settings.keys]
    return ShownIdentity(mode=settings.mode, keys=keys)
