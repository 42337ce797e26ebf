"""PUT, GET, DELETE /v1/users/{id}/email: where a digest goes, told by whoever may act for the person, and shown masked only."""

from typing import Any

import asyncpg
from litestar import Controller, Request, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, SkipValidation

from push.channels.mail import addresses
from push.channels.mail.compose import is_address, masked
from push.sealing import EMAIL
from schema.email_address import EmailAddress, ShownEmailAddress
from service.clock import Clock
from service.encryption import Encryption
from service.errors import ApiError, invalid_field
from service.routes.caller import owner_of
from service.routes.sealed import seal, unsealed
from service.store import people


class EmailAddressController(Controller):
    """A person's e-mail address."""

    path = "/v1/users/{user_id:str}/email"
    tags = ("users",)
    opt = {"scope": "sdk", "sk_scope": "users"}

    @put(status_code=200)
    async def tell(
        self,
        request: Request[Any, Any, Any],
        user_id: FromPath[str],
        data: JSONBody[EmailAddress],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        encryption: NamedDependency[SkipValidation[Encryption]],
    ) -> ShownEmailAddress:
        """Their address from now on. Consent is told apart (PATCH …/consent); that the address is the person's own is for you to confirm."""
        if not is_address(data.address):
            raise invalid_field(
                "/address", "This is no e-mail address: name@example.com, in ASCII, without quotes or comments."
            )
        key, now = owner_of(request, user_id), await clock.now()
        sealed = seal(encryption, data.address, EMAIL)
        async with pool.acquire() as connection, connection.transaction():
            person = await people.ensure_and_hold(connection, key, now)
            await addresses.put(connection, person.user_id, sealed, now)
        return ShownEmailAddress(masked=masked(data.address))

    @get(status_code=200)
    async def show(
        self,
        request: Request[Any, Any, Any],
        user_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        encryption: NamedDependency[SkipValidation[Encryption]],
    ) -> ShownEmailAddress:
        """Their address, masked."""
        async with pool.acquire() as connection:
            person = await people.find(connection, owner_of(request, user_id))
            if person is None:
                raise ApiError(404, "not_found", "There is no such user.")
            address = await addresses.read(connection, person.user_id)
        return ShownEmailAddress(masked=address and masked(unsealed(encryption, address, EMAIL)))

    @delete(status_code=204)
    async def forget(
        self,
        request: Request[Any, Any, Any],
        user_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
    ) -> None:
        """Forgets their address."""
        async with pool.acquire() as connection, connection.transaction():
            person = await people.hold(connection, owner_of(request, user_id))
            if person is not None:
                await addresses.delete(connection, person.user_id)
