"""What happens at the till: a redemption, refused in words or written once, and taken back.

One transaction holds the person, then the allowance of the offer, then that of a campaign: the order of everybody who promises.
"""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from schema.event import EventType
from schema.ids import stable_entropy, uuid7
from schema.offer import Offer, StoredOffer
from schema.problem import Code
from schema.redemption import NewRedemption
from service.errors import ApiError, invalid_field
from service.store import allowances, event_log, events, people, redemptions, reservations
from service.store.allowances import Allowance, Change, holder_of
from service.store.catalogue import Catalogue
from service.store.event_rows import StoredEvent
from service.store.events import React
from service.store.people import Person, Speaker
from service.store.redemptions import OPEN, REDEEMED, RELEASED, Reservation, StoredRedemption

TOLD_WITHIN: Final = timedelta(days=7)
"""As with events: what is older nothing is learned from any more."""

_ENCODER: Final = msgspec.json.Encoder()
_ALL_GONE: Final = "All of this offer that there were are redeemed or reserved."
_NOT_NAMED: Final = "Send a reservation_id, or a user_id (or anonymous_id) with an offer_id or the offer's code."


class Wish(NamedTuple):
    """What a till asks for: `speaker` is the person it names, None for nobody; `entropy` (ten bytes) makes the redemption's id; `react` is
    what the redemption sets off.
    """

    asked: NewRedemption
    speaker: Speaker | None
    entropy: bytes
    now: datetime
    react: React = events.nothing


class _Sale(NamedTuple):
    """Who redeems what: the offer as it is in the catalogue (None: it was deleted), and the reservation if there is one."""

    person: Person
    offer_id: int
    offer: Offer | None
    reserved: Reservation | None


async def redeem(connection: Any, wish: Wish, catalogue: Catalogue) -> UUID:
    """Writes a redemption in the caller's transaction, with its reward in the event log; its id.

    Raises:
        ApiError: 400 when nothing can be meant, 404 or 409 with the reason for which it is refused; the transaction must be undone.
    """
    asked, now = wish.asked, wish.now
    if asked.occurred_at is not None and asked.occurred_at < now - TOLD_WITHIN:
        raise invalid_field("/occurred_at", "A redemption is told within seven days.")
    if asked.reservation_id is not None:
        sale = await _of_reservation(connection, wish, asked.reservation_id, catalogue)
    else:
        sale = await _of_person(connection, wish, catalogue)
    if sale.offer is not None and not sale.offer.holds_in(asked.store_id):
        raise _refused("wrong_store", "The offer does not hold in this store.")
    return await _write(connection, wish, sale)


async def _of_reservation(connection: Any, wish: Wish, reservation_id: UUID, catalogue: Catalogue) -> _Sale:
    found = await redemptions.reservation(connection, reservation_id)
    if found is None:
        raise _refused("unknown_reservation", "There is no such reservation.", 404)
    person = await people.hold_by_id(connection, found.user_id)
    if wish.speaker is not None:
        named = await people.find_for(connection, wish.speaker)
        if named is None or named.user_id != person.user_id:
            raise _refused("wrong_person", "The reservation is another person's.")
    other = await redemptions.open_reservation(connection, person.user_id, found.offer_id)
    await allowances.hold(connection, {*found.taken_from, *(other.taken_from if other else ())})
    reserved = await redemptions.reservation(connection, reservation_id) or found
    if reserved.state == RELEASED and other is not None:
        # They hold another promise of the same offer: of two people who turned out to be one, one promise stays.
        reserved = await redemptions.reservation(connection, other.reservation_id) or reserved
    if reserved.state == REDEEMED:
        raise _refused("already_redeemed", "The reservation has been redeemed.")
    if reserved.state != OPEN:
        raise _refused("reservation_expired", "The reservation was released: it ran out, or was taken back.")
    if reserved.expires_at <= wish.now:
        raise _refused("reservation_expired", "The reservation has run out.")
    index = catalogue.index_by_id.get(reserved.offer_id)
    offer = None if index is None else catalogue.offers[index].offer
    _check_offer_named(wish.asked, offer)
    return _Sale(person, reserved.offer_id, offer, reserved)


def _check_offer_named(asked: NewRedemption, offer: Offer | None) -> None:
    if asked.offer_id is not None and (offer is None or offer.offer_id != asked.offer_id):
        raise _refused("unknown_offer", "The reservation is of another offer than the offer_id names.", 404)


async def _of_person(connection: Any, wish: Wish, catalogue: Catalogue) -> _Sale:
    if wish.speaker is None or (wish.asked.offer_id is None and wish.asked.code is None):
        raise invalid_field("", _NOT_NAMED, "invalid_body")
    named = _named(catalogue, wish.asked)
    await _refuse_early(connection, wish.speaker, named)
    person = await people.ensure_and_hold(connection, wish.speaker.key, wish.now)
    for stored in named:
        if await redemptions.open_reservation(connection, person.user_id, stored.id) is not None:
            await allowances.hold(connection, [holder_of(stored.id)])
            reserved = await redemptions.open_reservation(connection, person.user_id, stored.id)
            if reserved is not None:
                await allowances.hold(connection, reserved.taken_from)
                return _Sale(person, stored.id, stored.offer, reserved)
    if len(named) > 1:
        raise _refused("ambiguous_code", "Several offers have this code: send the offer_id.")
    await allowances.hold(connection, [holder_of(named[0].id)])
    _check_runs(named[0].offer, wish.now)
    return _Sale(person, named[0].id, named[0].offer, None)


async def _refuse_early(connection: Any, speaker: Speaker, named: list[StoredOffer]) -> None:
    """Of what is gone those who were promised none are told at once: a queue for a lock would form where most want what nobody gets."""
    found = await allowances.read(connection, [holder_of(stored.id) for stored in named])
    if all(one.count_left > 0 for one in found.values()):
        return
    person = await people.find_for(connection, speaker)
    held = await reservations.open_of(connection, [person.user_id]) if person is not None else []
    if {one.offer_id for one in held}.isdisjoint(stored.id for stored in named):
        raise _refused("limit_reached", _ALL_GONE)


def _named(catalogue: Catalogue, asked: NewRedemption) -> list[StoredOffer]:
    if asked.offer_id is not None:
        index = catalogue.index_by_external.get(asked.offer_id)
        found = [] if index is None else [catalogue.offers[index]]
    else:
        found = [catalogue.offers[index] for index in catalogue.indices_by_code.get(asked.code or "", ())]
    if not found:
        raise _refused("unknown_offer", "There is no such offer in the catalogue.", 404)
    return found


def _check_runs(offer: Offer, now: datetime) -> None:
    """What was not promised to anybody is redeemed only while the offer runs."""
    if offer.is_paused:
        raise _refused("offer_paused", "The offer is paused.")
    if offer.starts_at is not None and now < offer.starts_at:
        raise _refused("offer_not_started", "The offer has not begun.")
    if offer.ends_at is not None and now >= offer.ends_at:
        raise _refused("offer_ended", "The offer has ended.")


async def _write(connection: Any, wish: Wish, sale: _Sale) -> UUID:
    asked, reserved, now = wish.asked, sale.reserved, wish.now
    told = sale.offer.cost_minor() if sale.offer is not None else 0
    cost = reserved.discount_minor if reserved is not None else told
    cost = cost if asked.discount_minor is None else asked.discount_minor
    holders = [holder_of(sale.offer_id)] if reserved is None else reserved.taken_from
    change = Change(redeemed=1, redeemed_minor=cost)
    if reserved is not None:
        change = change._replace(reserved=-1, reserved_minor=-reserved.discount_minor)
        if not await redemptions.close(connection, reserved):
            raise _refused("already_redeemed", "The reservation has been redeemed.")
    _check_left(await allowances.read(connection, holders), change)
    await allowances.change(connection, dict.fromkeys(holders, change))
    redemption_id = uuid7(now, wish.entropy)
    occurred_at = min(asked.occurred_at or now, now)
    event = _event(sale.person, sale.offer_id, redemption_id, now, EventType.REDEEMED, occurred_at)
    row = StoredRedemption(
        user_id=sale.person.user_id,
        redemption_id=redemption_id,
        offer_id=sale.offer_id,
        reservation_id=None if reserved is None else reserved.reservation_id,
        taken_from=holders,
        discount_minor=cost,
        occurred_at=occurred_at,
        store_id=asked.store_id,
        reference=asked.reference,
        event_id=event.event_id,
    )
    await redemptions.put(connection, row)
    await events.insert(connection, [event])
    await wish.react(connection, [event])
    await event_log.append(connection, [events.log_entry(event, sale.person.time_zone)], now)
    return redemption_id


def _check_left(found: dict[UUID, Allowance], change: Change) -> None:
    """Both counts together may not grow beyond what is left; what was promised before a limit was lowered is kept all the same."""
    count, minor = change.reserved + change.redeemed, change.reserved_minor + change.redeemed_minor
    if count > 0 and any(one.count_left < count for one in found.values()):
        raise _refused("limit_reached", _ALL_GONE)
    if minor > 0 and any(one.minor_left < minor for one in found.values()):
        raise _refused("budget_spent", "The budget is spent or reserved.")


async def roll_back(connection: Any, redemption_id: UUID, now: datetime) -> None:
    """Takes a redemption back in the caller's transaction, and its reward out of what was learned.

    A reservation that has not run out is open again.

    Raises:
        ApiError: 404 when there is none, 409 when it was rolled back before.
    """
    found = await redemptions.find(connection, redemption_id)
    if found is None:
        raise _refused("not_found", "There is no such redemption.", 404)
    person = await people.hold_by_id(connection, found.user_id)
    held = await allowances.hold(connection, found.taken_from)
    row = await redemptions.find(connection, redemption_id) or found
    if not await redemptions.roll_back(connection, row, now):
        raise _refused("already_rolled_back", "The redemption has been rolled back.")
    change = Change(redeemed=-1, redeemed_minor=-row.discount_minor)
    change = await _reopened(connection, row, held, change, now)
    await allowances.change(connection, dict.fromkeys(row.taken_from, change))
    event = _event(person, row.offer_id, redemption_id, now, EventType.REDEMPTION_ROLLED_BACK, now, row.event_id)
    await events.insert(connection, [event])
    # By the instant of what is taken back it is found among the answers.
    entry = events.log_entry(event, person.time_zone)
    entry = msgspec.structs.replace(entry, occurred_at=row.occurred_at, takes_back=row.event_id)
    await event_log.append(connection, [entry], now)


async def _reopened(
    connection: Any, row: StoredRedemption, held: dict[UUID, Allowance], change: Change, now: datetime
) -> Change:
    """What the promise takes again, if it still holds and there is room for it."""
    if row.reservation_id is None:
        return change
    reserved = await redemptions.reservation(connection, row.reservation_id)
    if reserved is None or reserved.expires_at <= now:
        return change
    more = reserved.discount_minor - row.discount_minor
    if more > 0 and any(one.minor_left < more for one in held.values()):
        return change
    if not await redemptions.reopen(connection, reserved):
        return change
    return change._replace(reserved=1, reserved_minor=reserved.discount_minor)


def _event(
    person: Person,
    offer_id: int,
    redemption_id: UUID,
    now: datetime,
    kind: EventType,
    occurred_at: datetime,
    takes_back: UUID | None = None,
) -> StoredEvent:
    properties = {"redemption_id": redemption_id} | ({} if takes_back is None else {"takes_back": takes_back})
    return StoredEvent(
        user_id=person.user_id,
        event_id=uuid7(now, stable_entropy(kind.name.encode(), redemption_id.bytes)),
        type=kind,
        occurred_at=occurred_at,
        received_at=now,
        offer_id=offer_id,
        decision_id=None,
        slot=0,
        properties=_ENCODER.encode(properties),
    )


def _refused(code: Code, why: str, status: int = 409) -> ApiError:
    return ApiError(status, code, why)
