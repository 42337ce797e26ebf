"""What a person sees in their inbox: items whose offer they might be given at this instant, by the masks of every decision."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from push.drawing.wording import creative_in
from schema.decision import Channel, Context, Reservation
from schema.event import EventType
from schema.ids import stable_entropy, uuid7
from schema.inbox import InboxItem, InboxPage
from schema.log import LogEntry
from service.decision import masks, policy, stock
from service.decision.ask import Ask
from service.store import decision_people, event_log, inbox
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.decision_people import DecisionPerson
from service.store.inbox import READ_MAX, Lying

NEWEST: Final = 1 << 62
"""A cursor before which everything lies."""

NOTHING: Final = InboxPage(data=[], next_cursor=None, has_more=False)

_STORE_CHARACTERS_MAX: Final = 64


async def page(
    connection: Any, user_id: int, known: CatalogueCache, before: int, limit: int, now: datetime, *, is_peek: bool
) -> InboxPage:
    """The newest items before a position. What is taken for the first time is shown by that, unless it `is_peek`; the caller is in a transaction."""
    found, version = await decision_people.by_id(connection, [user_id])
    catalogue = known.current if version == known.current.version else await known.refresh(connection)
    lying = await inbox.read(connection, user_id, before, now)
    is_open = await _open(connection, found[user_id], catalogue, now) if lying else np.empty(0, np.bool_)
    visible = [one for one in lying if _is_in(catalogue, is_open, one.offer_id)]
    shown = visible[:limit]
    if not is_peek:
        await _show(connection, user_id, [one for one in shown if not one.is_shown], now)
    if len(visible) > limit:
        last = shown[-1].position
    elif len(lying) == READ_MAX:
        last = lying[-1].position
    else:
        last = None
    return InboxPage(
        data=[_item(catalogue, one, found[user_id].locale) for one in shown],
        next_cursor=None if last is None else str(last),
        has_more=last is not None,
    )


async def _open(connection: Any, person: DecisionPerson, catalogue: Catalogue, now: datetime) -> npt.NDArray[np.bool_]:
    """Offers (offers,) that this person might be given now, or was promised."""
    ask = Ask(
        placement="inbox",
        channel=Channel.INBOX,
        rules=policy.in_app_rules(1),
        context=Context(store_id=person.store_id[:_STORE_CHARACTERS_MAX] if person.store_id else None),
        candidates=None,
        excluded=(),
        holdout_share=0.0,
        control_share=0.0,
        campaign_id=None,
        entropy=b"",
    )
    found, _ = masks.eligible(catalogue, person, ask, now)
    mask = found.mask
    if stock.is_needed(catalogue, [(ask, person)]):
        left = await stock.look(connection, catalogue, [(ask, person)], now)
        mask = mask & left.is_left_for(person.user_id, None)
    return mask


def _is_in(catalogue: Catalogue, is_open: npt.NDArray[np.bool_], offer_id: int) -> bool:
    place = catalogue.index_by_id.get(offer_id)
    return place is not None and bool(is_open[place])


async def _show(connection: Any, user_id: int, unseen: Sequence[Lying], now: datetime) -> None:
    if not unseen:
        return
    shown = await inbox.show(connection, user_id, [one.position for one in unseen], now)
    entries = [
        LogEntry(
            user_id=user_id,
            event_id=uuid7(now, stable_entropy(b"inbox", one.decision_id.bytes)),
            type=EventType.SHOWN,
            occurred_at=now,
            offer_id=one.offer_id,
            decision_id=one.decision_id,
        )
        for one in shown
    ]
    await event_log.append(connection, entries, now)


def _item(catalogue: Catalogue, one: Lying, locale: str | None) -> InboxItem:
    offer = catalogue.offers[catalogue.index_by_id[one.offer_id]].offer
    reservation = None
    if one.reservation_id is not None and one.reserved_until is not None:
        reservation = Reservation(reservation_id=one.reservation_id, expires_at=one.reserved_until)
    return InboxItem(
        decision_id=one.decision_id,
        campaign_id=one.campaign,
        offer_id=offer.offer_id,
        creative=creative_in(offer, locale),
        put_at=one.put_at,
        expires_at=min(one.expires_at, offer.ends_at or datetime.max.replace(tzinfo=UTC)),
        is_read=one.is_read,
        reservation=reservation,
    )
