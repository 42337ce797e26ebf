"""GET /v1/audit: what was done to the installation, when and by whom; and how a route says who acts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import asyncpg
from litestar import Controller, Request, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter, SkipValidation

from schema.audit import AuditPage
from service.errors import invalid_field
from service.routes.caller import recorded_as
from service.store import audit

_NEWEST: Final = 2**62


@asynccontextmanager
async def acting(request: Request[Any, Any, Any], pool: Any) -> AsyncIterator[Any]:
    """A connection in a transaction of this call, whose changes are recorded as its key's."""
    async with pool.acquire() as connection, connection.transaction():
        await audit.speak(connection, recorded_as(request))
        yield connection


class AuditController(Controller):
    """The audit log. Nothing can change it; `welltimed doctor` reckons its hashes again."""

    path = "/v1/audit"
    tags = ("access",)
    opt = {"scope": "admin"}

    @get(status_code=200)
    async def show(
        self,
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        cursor: FromQuery[str | None] = None,
    ) -> AuditPage:
        """One page of all acts, the newest first. Keep the hash of one elsewhere: it proves all before it."""
        if cursor is not None and not (cursor.isdecimal() and cursor.isascii() and len(cursor) < 19):
            raise invalid_field("query:cursor", "Take the cursor from next_cursor of the page before.")
        async with pool.acquire() as connection:
            found = await audit.page(connection, int(cursor) if cursor else _NEWEST, limit + 1)
        has_more = len(found) > limit
        shown = found[:limit]
        return AuditPage(data=shown, next_cursor=str(shown[-1].seq) if has_more else None, has_more=has_more)
