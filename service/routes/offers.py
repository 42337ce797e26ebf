"""Offers: listed, made, replaced, changed, deleted, and imported from a file."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import asyncpg
import msgspec
from litestar import Controller, Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from schema.allowance import ShownAllowance
from schema.base import Kept
from schema.offer import OFFERS_MAX, Offer
from schema.problem import FieldError
from service.clock import Clock
from service.decision import prices
from service.errors import ApiError, invalid_field
from service.ingest.offer_rules import normalised, problems
from service.routes.acting import act_once
from service.routes.audit import acting
from service.routes.caller import recorded_as
from service.store import allowances, audit, offers
from service.store.tags import TAGS_MAX

BODY_BYTES_MAX: Final = 2 * 2**20  # twice 10,000 stores of 64 characters, and room
_CURSOR: Final = re.compile(r"[0-7][0-9a-f]{7}")
_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class OfferPage(Kept, frozen=True):
    """A page of GET /v1/offers in the order of making; `next_cursor` leads to the next one and is null on the last."""

    data: list[Offer]
    next_cursor: str | None
    has_more: bool


class OfferController(Controller):
    """The offers of the catalogue. Every change makes a new version of it, which the next decisions use."""

    path = "/v1/offers"
    tags = ("offers",)
    opt = {"scope": "offers", "body_bytes_max": BODY_BYTES_MAX}

    @get(status_code=200)
    async def show_all(
        self,
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        cursor: FromQuery[str | None] = None,
    ) -> OfferPage:
        """One page of all offers, paused and ended ones too."""
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise invalid_field("query:cursor", "Take the cursor from next_cursor of the page before.")
        async with pool.acquire() as connection:
            found = await offers.page(connection, int(cursor or "0", 16), limit + 1)
        has_more = len(found) > limit
        shown = found[:limit]
        return OfferPage(
            data=[offer for _, offer in shown],
            next_cursor=f"{shown[-1][0]:08x}" if has_more else None,
            has_more=has_more,
        )

    @get("/{offer_id:str}", status_code=200)
    async def show(self, offer_id: FromPath[str], pool: NamedDependency[SkipValidation[asyncpg.Pool]]) -> Offer:
        """One offer."""
        async with pool.acquire() as connection:
            found = await offers.find(connection, [_key(offer_id)])
        if not found:
            raise _missing()
        return found[offer_id]

    @get("/{offer_id:str}/allowance", status_code=200)
    async def allowance(
        self,
        offer_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> ShownAllowance:
        """How much of an offer is promised, redeemed, and left."""
        now = await clock.now()
        async with pool.acquire() as connection:
            known = await allowances.of_offer(connection, _key(offer_id))
        if known is None:
            raise _missing()
        return prices.shown(known, now)

    @post(status_code=201)
    async def create(
        self,
        request: Request[Any, Any, Any],
        data: JSONBody[Offer],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[Offer]:
        """Makes an offer; 409 when its offer_id is taken."""
        offer = _checked(data)
        now = await clock.now()

        async def effect(connection: Any) -> Offer:
            await audit.speak(connection, recorded_as(request))
            async with _told():
                await offers.create(connection, offer, now)
            return offer

        return await act_once(request, pool, now, effect, status=201)

    @put("/{offer_id:str}", status_code=200)
    async def replace(
        self,
        request: Request[Any, Any, Any],
        offer_id: FromPath[str],
        data: JSONBody[Offer],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Response[Offer]:
        """Makes or replaces an offer: 201 when it is new. The same again changes nothing."""
        if data.offer_id != offer_id:
            raise invalid_field("/offer_id", "The offer_id of the body must be that of the path.")
        offer = _checked(data)
        async with _told(), acting(request, pool) as connection:
            done = await offers.put_all(connection, [offer], await clock.now())
        return Response(offer, status_code=201 if done.new else 200)

    @patch(
        "/{offer_id:str}", status_code=200, opt={"content_types": ("application/json", "application/merge-patch+json")}
    )
    async def change(
        self,
        request: Request[Any, Any, Any],
        offer_id: FromPath[str],
        data: JSONBody[dict[str, Any]],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
    ) -> Offer:
        """Changes the fields that the body names (JSON merge patch, RFC 7396: null gives a field its default)."""
        async with _told(), acting(request, pool) as connection:
            return await offers.patch(connection, _key(offer_id), lambda offer: _merged(offer, data), await clock.now())

    @delete("/{offer_id:str}", status_code=204)
    async def remove(
        self,
        request: Request[Any, Any, Any],
        offer_id: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
    ) -> None:
        """Deletes an offer. Old decisions keep it, and people's thumbs-down on it hold should it be made again."""
        async with _told(), acting(request, pool) as connection:
            await offers.delete(connection, _key(offer_id))


def _key(offer_id: str) -> str:
    """The offer_id of a path. Raises ApiError 404 for one that no offer can have: PostgreSQL refuses some of them (NUL)."""
    if not _KEY.fullmatch(offer_id):
        raise _missing()
    return offer_id


def _checked(offer: Offer) -> Offer:
    """The normalised offer. Raises ApiError 400 with every rule it breaks."""
    plain = normalised(offer)
    errors = problems(plain)
    if errors:
        raise ApiError(400, "invalid_field", "The offer breaks some rules; see errors.", errors)
    return plain


def _merged(offer: Offer, change: dict[str, Any]) -> Offer:
    if change.get("offer_id", offer.offer_id) != offer.offer_id:
        raise invalid_field("/offer_id", "The offer_id of an offer cannot change.")
    return _checked(msgspec.convert(_merge_patch(msgspec.to_builtins(offer), change), Offer))


def _merge_patch(target: Any, change: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(change, dict):
        return change
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_patch(merged.get(name), value)
    return merged


def _missing() -> ApiError:
    return ApiError(404, "not_found", "There is no such offer.")


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    """Turns what the store refuses into an ApiError."""
    try:
        yield
    except offers.OfferMissing:
        raise _missing() from None
    except offers.OfferExists:
        detail = "An offer with this offer_id exists: replace it by PUT /v1/offers/{offer_id}."
        raise ApiError(
            409, "conflict", detail, [FieldError(pointer="/offer_id", code="conflict", detail=detail)]
        ) from None
    except offers.CatalogueFull:
        raise ApiError(
            409, "conflict", f"The catalogue holds at most {OFFERS_MAX} offers: delete some first."
        ) from None
    except offers.TagsFull as error:
        detail = f"There are at most {TAGS_MAX} different tags: the new tag {error} is one too many."
        raise ApiError(409, "conflict", detail, [FieldError(pointer="/tags", code="conflict", detail=detail)]) from None
