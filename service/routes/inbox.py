"""GET /v1/inbox: what was decided for a person and lies in their app for its life."""

import re
from typing import Annotated, Any, Final

import asyncpg
import msgspec
import xxhash
from litestar import Controller, Request, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromQuery, QueryParameter, SkipValidation

from schema.inbox import InboxPage
from service.clock import Clock
from service.decision import inbox
from service.errors import invalid_field
from service.routes.caller import named_in_query
from service.store import people
from service.store.catalogue import CatalogueCache

ITEMS_MAX: Final = 100

_CURSOR: Final = re.compile(r"[1-9][0-9]{0,17}")
_ENCODER: Final = msgspec.json.Encoder()
# The person's own, and asked for anew each time: what was withdrawn must not be shown from a cache.
_CACHE: Final = "private, no-cache"


class InboxController(Controller):
    """The in-app inbox. Read and dismissed items are told by feedback on their decision."""

    path = "/v1/inbox"
    tags = ("inbox",)
    opt = {"scope": "sdk", "sk_scope": "users"}

    @get(status_code=200)
    async def pull(
        self,
        request: Request[Any, Any, Any],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        catalogue: NamedDependency[SkipValidation[CatalogueCache]],
        user_id: FromQuery[str | None] = None,
        anonymous_id: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=ITEMS_MAX)] = 20,
        cursor: FromQuery[str | None] = None,
        peek: FromQuery[bool] = False,
    ) -> Response[InboxPage]:
        """The newest first. The same cursor gives the same items, whatever is put there meanwhile; what must not be shown any more is gone at once.

        What is given for the first time counts as shown, unless with `peek=true`, for who only counts what is unread. With the ETag
        of an earlier answer in If-None-Match the answer is 304 when nothing has changed.
        """
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise invalid_field("query:cursor", "Take the cursor from next_cursor of the page before.")
        speaker = named_in_query(request, user_id, anonymous_id)
        now, before = await clock.now(), inbox.NEWEST if cursor is None else int(cursor)
        async with pool.acquire() as connection:
            person = await people.find_for(connection, speaker)
            if person is None:
                return _answer(request, inbox.NOTHING)
            async with connection.transaction():
                found = await inbox.page(connection, person.user_id, catalogue, before, limit, now, is_peek=peek)
        return _answer(request, found)


def _answer(request: Request[Any, Any, Any], page: InboxPage) -> Response[InboxPage]:
    body = _ENCODER.encode(page)
    tag = f'"{xxhash.xxh3_128_hexdigest(body)}"'
    headers = {"ETag": tag, "Cache-Control": _CACHE}
    if tag in (request.headers.get("if-none-match") or ""):
        return Response(b"", status_code=304, media_type=MediaType.JSON, headers=headers)  # type: ignore[arg-type] # it has no body
    # The bytes are the JSON of an InboxPage: told so, that the OpenAPI document names it.
    return Response(body, status_code=200, media_type=MediaType.JSON, headers=headers)  # type: ignore[arg-type] # as said
