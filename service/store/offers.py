"""The offers and every state they have had: each change makes the next version of the catalogue."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from schema.offer import OFFERS_MAX, Offer
from service.store import allowances, tags

CHANNEL: Final = "catalogue"

_VERSION: Final = "select version from catalogue_head"
_LOCK: Final = "select version from catalogue_head for update"
_ADVANCE: Final = "update catalogue_head set version = version + 1 returning version"
_NOTIFY: Final = "select pg_notify('catalogue', $1)"
_COUNT: Final = "select count(*) from offer_versions where to_version is null"
_CURRENT: Final = """
    select o.external_id, v.body from offers o join offer_versions v using (offer_id)
     where v.to_version is null and o.external_id = any($1::text[])
"""
_PAGE: Final = """
    select o.offer_id, v.body from offers o join offer_versions v using (offer_id)
     where v.to_version is null and o.offer_id > $1 order by o.offer_id limit $2
"""
_REGISTER: Final = """
    insert into offers (external_id, created_at)
    select e, $2 from unnest($1::text[]) with ordinality as u(e, position)
     where not exists (select from offers where external_id = e) order by position
"""
_CLOSE: Final = """
    update offer_versions v set to_version = $2 from offers o
     where o.offer_id = v.offer_id and v.to_version is null and o.external_id = any($1::text[])
"""
_OPEN: Final = """
    insert into offer_versions (offer_id, from_version, body, changed_at)
    select o.offer_id, $3, t.body, $4 from unnest($1::text[], $2::jsonb[]) as t(external_id, body) join offers o using (external_id)
"""


class OfferExists(Exception):
    """An offer with this offer_id is in the catalogue already."""


class OfferMissing(Exception):
    """No offer with this offer_id is in the catalogue."""


class CatalogueFull(Exception):
    """The change would leave more than OFFERS_MAX offers in the catalogue."""


class TagsFull(Exception):
    """The change needs tags beyond the limit of the taxonomy; the message names the first of them."""


class Comparison(NamedTuple):
    """Given offers against the catalogue as it is; `before` holds the present state of those that exist."""

    version: int
    new: list[Offer]
    changed: list[Offer]
    unchanged: list[Offer]
    before: dict[str, Offer]


async def version(connection: Any) -> int:
    """The version of the catalogue; 0 before the first change."""
    return int(await connection.fetchval(_VERSION))


async def count(connection: Any) -> int:
    """How many offers the catalogue holds, paused and ended ones included."""
    return int(await connection.fetchval(_COUNT))


async def lock(connection: Any) -> None:
    """Holds back every other change of the catalogue until the caller's transaction ends."""
    await connection.execute(_LOCK)


async def find(connection: Any, offer_ids: Collection[str]) -> dict[str, Offer]:
    """The present state of those offers that are in the catalogue, by offer_id."""
    rows = await connection.fetch(_CURRENT, list(offer_ids))
    return {row["external_id"]: msgspec.convert(row["body"], Offer) for row in rows}


async def page(connection: Any, after: int, limit: int) -> list[tuple[int, Offer]]:
    """Up to `limit` offers whose internal id is greater than `after`, with that id, in its order."""
    rows = await connection.fetch(_PAGE, after, limit)
    return [(row["offer_id"], msgspec.convert(row["body"], Offer)) for row in rows]


async def compare(connection: Any, offers: Sequence[Offer]) -> Comparison:
    """Sorts offers with distinct ids into new, changed and unchanged ones; writes nothing."""
    before = await find(connection, [offer.offer_id for offer in offers])
    comparison = Comparison(await version(connection), [], [], [], before)
    for offer in offers:
        present = before.get(offer.offer_id)
        group = comparison.new if present is None else comparison.unchanged if present == offer else comparison.changed
        group.append(offer)
    return comparison


async def put_all(connection: Any, offers: Sequence[Offer], now: datetime) -> Comparison:
    """Creates or replaces offers with distinct, normalised content in one new version; unchanged ones make none.

    Gives the comparison with the catalogue as it was; its `version` is that after the change.

    Raises:
        CatalogueFull, TagsFull: nothing was written.
    """
    async with connection.transaction():
        await lock(connection)
        comparison = await compare(connection, offers)
        written = comparison.new + comparison.changed
        if not written:
            return comparison
        if comparison.new and await count(connection) + len(comparison.new) > OFFERS_MAX:
            raise CatalogueFull
        await _ensure_tags(connection, written)
        return comparison._replace(version=await _write(connection, written, now))


async def create(connection: Any, offer: Offer, now: datetime) -> None:
    """Adds one offer.

    Raises:
        OfferExists, CatalogueFull, TagsFull: nothing was written.
    """
    async with connection.transaction():
        await lock(connection)
        if await find(connection, [offer.offer_id]):
            raise OfferExists
        await put_all(connection, [offer], now)


async def patch(connection: Any, offer_id: str, change: Callable[[Offer], Offer], now: datetime) -> Offer:
    """Replaces an offer by `change` of its present state, which must keep its offer_id; gives the new state.

    Raises:
        OfferMissing, TagsFull, whatever `change` raises: nothing was written.
    """
    async with connection.transaction():
        await lock(connection)
        present = await find(connection, [offer_id])
        if not present:
            raise OfferMissing
        changed = change(present[offer_id])
        if changed.offer_id != offer_id:
            raise ValueError("the offer_id of an offer cannot change")
        await put_all(connection, [changed], now)
        return changed


async def delete(connection: Any, offer_id: str) -> None:
    """Takes an offer out of the catalogue; its internal id stays its own should it come back.

    Raises:
        OfferMissing: it is not there.
    """
    async with connection.transaction():
        await lock(connection)
        if not await find(connection, [offer_id]):
            raise OfferMissing
        await connection.execute(_CLOSE, [offer_id], await _advance(connection))


async def _ensure_tags(connection: Any, offers: Sequence[Offer]) -> None:
    wanted = {tag for offer in offers for tag in offer.tags}
    strays = [tag for tag in wanted if tag != tags.normalise(tag)]
    if strays:
        raise ValueError(f"tags must be normalised before they are stored: {strays[0]!r}")
    missing = wanted - (await tags.ensure(connection, wanted)).keys()
    if missing:
        raise TagsFull(min(missing))


async def _write(connection: Any, offers: Sequence[Offer], now: datetime) -> int:
    made = await _advance(connection)
    offer_ids = [offer.offer_id for offer in offers]
    await connection.execute(_REGISTER, offer_ids, now)
    await connection.execute(_CLOSE, offer_ids, made)
    await connection.execute(_OPEN, offer_ids, offers, made, now)
    await allowances.put(connection, offers)
    return made


async def _advance(connection: Any) -> int:
    made = int(await connection.fetchval(_ADVANCE))
    await connection.execute(_NOTIFY, str(made))
    return made
