"""An answer to a decision, in one synchronous transaction: its effect on the person, the event, and the log."""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.decision import Action
from schema.event import EventType
from schema.ids import instant_of
from service.store import decisions, event_log, events, inbox, people
from service.store.event_rows import StoredEvent
from service.store.events import React
from service.store.people import Person, Speaker

SNOOZE: Final = timedelta(days=14)

_WATERMARK: Final = "select feedback_applied_through from users where user_id = $1"
_VETO: Final = """
    update users set vetoed_offer_ids = vetoed_offer_ids || $2::integer
     where user_id = $1 and not $2::integer = any(vetoed_offer_ids) returning 1
"""
_OPT_OUT: Final = """
    update users set opted_out_at = coalesce(opted_out_at, $2), has_push_consent = false
     where user_id = $1 and (opted_out_at is null or has_push_consent) returning 1
"""
# Snoozes that have ended are forgotten on the way.
_SNOOZE: Final = """
    update users u set
        snoozed_offer_ids = array(select s.offer_id from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                                   where s.offer_id <> $2 and s.until > $3 order by s.offer_id) || $2::integer,
        snoozed_until = array(select s.until from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                               where s.offer_id <> $2 and s.until > $3 order by s.offer_id) || $4::timestamptz
     where user_id = $1 returning 1
"""


class Answered(NamedTuple):
    """What the person did with one slot of a decision, and when; `now` is the instant we heard of it."""

    decision_id: UUID
    slot: int
    type: EventType
    occurred_at: datetime | None
    now: datetime


class Applied(NamedTuple):
    """The watermark; and of a new answer the partition of the event log and the seq in it from which learning takes it."""

    applied_through: datetime
    log_place: tuple[int, int] | None


class NoSuchDecision(Exception):
    """This person has no such decision."""


class NoSuchSlot(Exception):
    """The decision showed nothing in this slot."""


async def apply(connection: Any, who: Speaker | int, answered: Answered, react: React = events.nothing) -> Applied:
    """Applies an answer in the caller's transaction, with what a new one sets off; applied again it changes nothing.

    `who` is whom the call names, or our id of the person to whom the decision was sent.

    Raises:
        NoSuchDecision: the person is unknown or has no such decision.
        NoSuchSlot: nothing was offered in that slot.
        ApiError: 403, when the caller may not speak for this person.
    """
    if isinstance(who, int):
        person: Person | None = await people.hold_by_id(connection, who)
    else:
        person = await people.hold_for(connection, who)
    if person is None:
        raise NoSuchDecision
    offer_id = await _offer(connection, person.user_id, answered)
    key = events.answer_key(answered.decision_id, answered.slot, answered.type)
    is_new = bool(await events.claim(connection, [(person.user_id, key)], answered.now))
    # Before the head of the log is held: an inbox that is pulled holds its items first.
    told = inbox.Answered(person.user_id, answered.decision_id, answered.slot, answered.type)
    await inbox.note(connection, [told], answered.now)
    log_place = await _record(connection, person, offer_id, answered, key, react) if is_new else None
    has_changed = await _take_effect(connection, person.user_id, offer_id, answered, is_new=is_new)
    if is_new or has_changed:
        return Applied(await people.raise_version(connection, person.user_id, answered.now), log_place)
    return Applied(await connection.fetchval(_WATERMARK, person.user_id), None)


async def _offer(connection: Any, user_id: int, answered: Answered) -> int:
    decision = await decisions.take(connection, user_id, answered.decision_id)
    if decision is None:
        raise NoSuchDecision
    if decision.action == Action.NO_SEND or answered.slot >= len(decision.offer_ids):
        raise NoSuchSlot
    return decision.offer_ids[answered.slot]


async def _record(
    connection: Any, person: Person, offer_id: int, answered: Answered, key: UUID, react: React
) -> tuple[int, int]:
    """The event of a key that was claimed, and its log entry, whose place it gives."""
    row = StoredEvent(
        user_id=person.user_id,
        event_id=events.id_of(person.user_id, key, answered.now),
        type=answered.type,
        occurred_at=_occurred_at(answered),
        received_at=answered.now,
        offer_id=offer_id,
        decision_id=answered.decision_id,
        slot=answered.slot,
        properties="{}",
    )
    await events.insert(connection, [row])
    await react(connection, [row])
    (place,) = (await event_log.append(connection, [events.log_entry(row, person.time_zone)], answered.now)).items()
    return place


async def _take_effect(connection: Any, user_id: int, offer_id: int, answered: Answered, *, is_new: bool) -> bool:
    # A veto or an opt-out said again after it was undone is meant again; a snooze repeated must not grow.
    match answered.type:
        case EventType.THUMBS_DOWN:
            return await connection.fetchval(_VETO, user_id, offer_id) is not None
        case EventType.OPTED_OUT:
            return await connection.fetchval(_OPT_OUT, user_id, answered.now) is not None
        case EventType.NOT_NOW if is_new:
            await connection.execute(_SNOOZE, user_id, offer_id, answered.now, answered.now + SNOOZE)
            return True
        case _:
            return False


def _occurred_at(answered: Answered) -> datetime:
    """Never before the decision and never after we heard of it, whatever the phone's clock says."""
    if answered.occurred_at is None:
        return answered.now
    return min(max(answered.occurred_at, instant_of(answered.decision_id)), answered.now)
