"""Answers to decisions, in one synchronous transaction: their effect on the people, the events, and the log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from schema.decision import Action
from schema.event import EventType
from schema.ids import instant_of, partition_of
from service.errors import ApiError
from service.store import decisions, event_ids, event_log, events, forbidden, inbox, people
from service.store.decisions import Outcome
from service.store.event_rows import StoredEvent
from service.store.events import React
from service.store.people import Person, Speaker

_WATERMARKS: Final = "select user_id, feedback_applied_through from users where user_id = any($1::bigint[])"


class Answered(NamedTuple):
    """What a person did with one slot of a decision, and when; `now` is the instant we heard of it.

    `who` is whom the call names, or our id of the person to whom the decision was sent.
    """

    who: Speaker | int
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


Result = Applied | NoSuchDecision | NoSuchSlot | ApiError
"""What became of an answer; the ApiError is a 403 for a caller that may not speak for this person."""


class _Heard(NamedTuple):
    """An answer that is good, with its place among those that were told, who gave it, and what it is about."""

    place: int
    told: Answered
    person: Person
    offer_id: int
    key: UUID


async def apply(connection: Any, told: Answered, react: React = events.nothing) -> Applied:
    """As `apply_all`, of one. Raises what comes of it when that is no Applied."""
    (result,) = await apply_all(connection, [told], react)
    if isinstance(result, Exception):
        raise result
    return result


async def apply_all(connection: Any, told: Sequence[Answered], react: React = events.nothing) -> list[Result]:
    """Applies answers in the caller's transaction, with what new ones set off; applied again they change nothing.

    Locks in the order of `service.ingest.writer.write`. `who` must be of one kind throughout: two orders of people could deadlock.

    Raises RuntimeError when one of several people is just merged away; each alone is found.
    """
    now = max(one.now for one in told)
    results, heard = await _hear(connection, told)
    fresh = await events.claim(connection, [(one.person.user_id, one.key) for one in heard], now)
    new = []
    for one in heard:
        if (claimed := (one.person.user_id, one.key)) in fresh:
            fresh.discard(claimed)  # the second of two at once is a repeated one
            new.append(one)
    # Before the heads of the log are held: an inbox that is pulled holds its items first.
    await inbox.note(connection, [_noted(one) for one in heard], now)
    rows = [_row(one) for one in new]
    await events.insert(connection, rows)
    await react(connection, rows)
    changed = await _take_effect(connection, heard, new, now)
    through = await _watermarks(connection, heard, changed | {one.person.user_id for one in new}, now)
    entries = [events.log_entry(row, one.person.time_zone) for row, one in zip(rows, new, strict=True)]
    seqs = await event_log.append(
        connection, entries, now
    )  # last, since it holds the heads of the log until the commit
    places = {one.place for one in new}
    for one in heard:
        partition = partition_of(one.person.user_id)
        log_place = (partition, seqs[partition]) if one.place in places else None
        results[one.place] = Applied(through[one.person.user_id], log_place)
    return results


async def _hear(connection: Any, told: Sequence[Answered]) -> tuple[list[Result], list[_Heard]]:
    """What is wrong with each answer, and those with which nothing is."""
    found = await _hold(connection, told)
    asked = {
        (person.user_id, one.decision_id) for person, one in zip(found, told, strict=True) if isinstance(person, Person)
    }
    shown = await decisions.take(connection, asked)
    results: list[Result] = [NoSuchDecision() for _ in told]
    heard: list[_Heard] = []
    for place, (person, one) in enumerate(zip(found, told, strict=True)):
        if isinstance(person, ApiError):
            results[place] = person
        elif person is not None and (outcome := shown.get((person.user_id, one.decision_id))) is not None:
            offer_id = _offer_of(outcome, one.slot)
            if offer_id is None:
                results[place] = NoSuchSlot()
            else:
                key = event_ids.answer_key(one.decision_id, one.slot, one.type)
                heard.append(_Heard(place, one, person, offer_id, key))
    return results, heard


async def _hold(connection: Any, told: Sequence[Answered]) -> list[Person | ApiError | None]:
    user_ids = {one.who for one in told if isinstance(one.who, int)}
    by_id = await people.hold_all_by_id(connection, user_ids) if user_ids else {}
    keys = sorted({one.who.key for one in told if isinstance(one.who, Speaker)})
    by_key = await people.hold_all(connection, keys) if keys else {}
    held: list[Person | ApiError | None] = []
    for one in told:
        if isinstance(one.who, int):
            held.append(by_id.get(one.who))
        else:
            person = by_key.get(one.who.key)
            held.append(people.refused() if person and not one.who.speaks_for(person.known_as) else person)
    return held


def _offer_of(outcome: Outcome, slot: int) -> int | None:
    is_shown = outcome.action != Action.NO_SEND and slot < len(outcome.offer_ids)
    return outcome.offer_ids[slot] if is_shown else None


def _noted(one: _Heard) -> inbox.Answered:
    return inbox.Answered(one.person.user_id, one.told.decision_id, one.told.slot, one.told.type)


def _row(one: _Heard) -> StoredEvent:
    return StoredEvent(
        user_id=one.person.user_id,
        event_id=event_ids.id_of(one.person.user_id, one.key, one.told.now),
        type=one.told.type,
        occurred_at=_occurred_at(one.told),
        received_at=one.told.now,
        offer_id=one.offer_id,
        decision_id=one.told.decision_id,
        slot=one.told.slot,
        properties=b"{}",
    )


async def _take_effect(connection: Any, heard: Sequence[_Heard], new: Sequence[_Heard], now: datetime) -> set[int]:
    """The users in whose rows something has changed."""
    # A veto or an opt-out said again after it was undone is meant again; a snooze repeated must not grow.
    vetoed = [(one.person.user_id, one.offer_id) for one in heard if one.told.type is EventType.THUMBS_DOWN]
    snoozed = [(one.person.user_id, one.offer_id) for one in new if one.told.type is EventType.NOT_NOW]
    opted_out = {one.person.user_id for one in heard if one.told.type is EventType.OPTED_OUT}
    return (
        await forbidden.veto(connection, vetoed)
        | await forbidden.snooze(connection, snoozed, now)
        | await forbidden.opt_out(connection, opted_out, now)
    )


async def _watermarks(
    connection: Any, heard: Sequence[_Heard], changed: set[int], now: datetime
) -> dict[int, datetime]:
    through = await people.raise_versions(connection, changed, now) if changed else {}
    others = {one.person.user_id for one in heard} - changed
    return through | dict(await connection.fetch(_WATERMARKS, list(others)) if others else ())


def _occurred_at(told: Answered) -> datetime:
    """Never before the decision and never after we heard of it, whatever the phone's clock says."""
    if told.occurred_at is None:
        return told.now
    return min(max(told.occurred_at, instant_of(told.decision_id)), told.now)
