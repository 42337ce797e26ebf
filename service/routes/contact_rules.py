"""The installation's rules of contact: read, replaced, and who set them when."""

from typing import Annotated, Any, Final

import asyncpg
from litestar import Controller, Request, get, put
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter, SkipValidation

from push.contact import contacts
from schema.contact_rules import ContactRules, RulesInForce, RulesPage
from service.clock import Clock
from service.errors import ApiError, invalid_field
from service.planning import contact_checks
from service.routes.caller import recorded_as

_NEWEST: Final = 2**62


class ContactRulesController(Controller):
    """When nobody is pushed, and how often anybody may be, whatever the campaign."""

    path = "/v1/contact-rules"
    tags = ("campaigns",)
    opt = {"scope": "campaigns"}

    @get(status_code=200)
    async def show(self, pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> RulesInForce:
        """The rules in force; version 0 are the defaults."""
        async with pool.acquire() as connection:
            return await contacts.read(connection)

    @get("/versions", status_code=200)
    async def show_all(
        self,
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        cursor: FromQuery[str | None] = None,
    ) -> RulesPage:
        """One page of all versions that were set, the newest first, with who set them and when."""
        if cursor is not None and not (cursor.isdecimal() and cursor.isascii() and len(cursor) < 19):
            raise invalid_field("query:cursor", "Take the cursor from next_cursor of the page before.")
        async with pool.acquire() as connection:
            found = await contacts.page(connection, int(cursor) if cursor else _NEWEST, limit + 1)
        has_more = len(found) > limit
        shown = found[:limit]
        return RulesPage(data=shown, next_cursor=str(shown[-1].version) if has_more else None, has_more=has_more)

    @put(status_code=200, opt={"scope": "admin"})
    async def replace(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[ContactRules],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> RulesInForce:
        """Replaces the rules; what is not named has its default. Every push that is claimed after the answer obeys them."""
        errors = list(contact_checks.of_rules(data))
        if errors:
            raise ApiError(400, "invalid_field", "The rules cannot be used; see errors.", errors)
        now, by = await clock.now(), recorded_as(request)
        async with pool.acquire() as connection, connection.transaction():
            return await contacts.put(connection, contact_checks.spelled(data), now, by)
