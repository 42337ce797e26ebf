"""One micro-batch of events into PostgreSQL: people, keys, events and log entries in a single transaction."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from itertools import compress
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from schema.log import LogEntry
from service.ingest.checked import CheckedEvent, Outcome
from service.store import event_ids, event_log, events, inbox, people
from service.store.event_rows import StoredEvent
from service.store.events import React
from service.store.known_tags import KnownTags
from service.store.known_users import KnownUsers
from service.store.people import Person, PersonKey

CAREFUL_FOR: Final = 100
"""Batches after one that held an event told before: where there is one there may be more, and a try for nothing costs a batch."""

_KEY: Final = attrgetter("speaker.key")
_RECEIVED_AT: Final = attrgetter("received_at")

_Claim = Callable[[Any, Sequence[tuple[int, UUID]], datetime], Awaitable[set[tuple[int, UUID]]]]


class Haste:
    """Whether events are expected to be told for the first time, as a writer has found them; the answer is right in both cases."""

    def __init__(self) -> None:
        self._careful_for = 0

    def is_on(self) -> bool:
        """Asked once a batch."""
        self._careful_for = max(0, self._careful_for - 1)
        return self._careful_for == 0

    def stumbled(self) -> None:
        """A batch held an event told before."""
        self._careful_for = CAREFUL_FOR


class Remembered:
    """What a writer has found that need not be looked up again, of users as long as it `is_told` that they have changed."""

    def __init__(self, is_told: Callable[[], bool] = lambda: True) -> None:
        self.haste = Haste()
        self.users = KnownUsers(is_told)
        self.tags = KnownTags()


async def write(
    pool: Any, batch: Sequence[CheckedEvent], react: React = events.nothing, remembered: Remembered | None = None
) -> list[Outcome]:
    """Commits a batch with what it sets off; says of each event what became of it.

    Every writer takes its locks in the same order: identities, users, event keys, items of inboxes, rests of triggered campaigns, heads of the log, each of them sorted.
    """
    known = remembered or Remembered()
    if known.haste.is_on():
        with contextlib.suppress(asyncpg.UniqueViolationError):
            return await _commit(pool, batch, react, events.claim_all, known)
        known.haste.stumbled()
    return await _commit(pool, batch, react, events.claim, known)


async def _commit(
    pool: Any, batch: Sequence[CheckedEvent], react: React, claim: _Claim, known: Remembered
) -> list[Outcome]:
    now = max(map(_RECEIVED_AT, batch))
    async with pool.acquire() as connection:
        # Before the transaction: what is remembered of tags must not be rolled back.
        tag_ids = await _tag_ids(connection, batch, known)
        async with connection.transaction():
            about = await _people(connection, [*map(_KEY, batch)], now, known.users)
            told_by = _Told.of(batch, about.people)
            noted = _note(told_by, await claim(connection, told_by.claimed(), now), tag_ids)
            await events.insert(connection, noted.rows)
            answers = [row for row in noted.rows if row.decision_id is not None]
            await inbox.note(
                connection, [inbox.Answered(r.user_id, r.decision_id, r.slot, r.type) for r in answers], now
            )
            await react(connection, noted.rows)
            # Last, since it holds the heads of the log until the commit.
            await event_log.append(connection, noted.entries, now, event_log.IN_TIME)
        known.users.remember(about.found, about.mark)
        return noted.outcomes


class _About(NamedTuple):
    """Whom each event is about, and who of them had to be looked up, after which mark."""

    people: Sequence[Person]
    found: Mapping[PersonKey, Person]
    mark: int


async def _people(connection: Any, keys: Sequence[PersonKey], now: datetime, users: KnownUsers) -> _About:
    mark, known = users.mark(), users.each(keys)
    everybody = [person for person in known if person is not None]
    if len(everybody) == len(keys):  # as nearly always
        return _About(everybody, people.NOBODY, mark)
    remembered = {key: person for key, person in zip(keys, known, strict=True) if person is not None}
    found = await people.ensure(connection, set(keys), now, remembered)
    return _About([found[key] for key in keys], found, mark)


async def _tag_ids(connection: Any, batch: Sequence[CheckedEvent], known: Remembered) -> dict[str, int]:
    tagged = [event for event in batch if event.tags]
    told = {tag for event in tagged for tag in event.tags}
    trusted = {tag for event in tagged if event.makes_tags for tag in event.tags}
    return await known.tags.of_events(connection, told, trusted)


class _Told(NamedTuple):
    """The events of a batch, each with who it is about, its key, and whether its sender may speak for them."""

    events: Sequence[CheckedEvent]
    people: Sequence[Person]
    keys: list[tuple[int, UUID]]
    is_spoken_for: list[bool]

    @classmethod
    def of(cls, batch: Sequence[CheckedEvent], about: Sequence[Person]) -> "_Told":
        return cls(
            batch,
            about,
            [(person.user_id, event.event_key) for event, person in zip(batch, about, strict=True)],
            [
                not event.speaker.is_bounded or event.speaker.speaks_for(person.known_as)
                for event, person in zip(batch, about, strict=True)
            ],
        )

    def claimed(self) -> list[tuple[int, UUID]]:
        """The keys of the events that may be written."""
        return list(compress(self.keys, self.is_spoken_for))


class _Noted(NamedTuple):
    """What became of each event, and of those that are new the rows and the entries of the log."""

    outcomes: list[Outcome]
    rows: list[StoredEvent]
    entries: list[LogEntry]


def _note(told: _Told, fresh: set[tuple[int, UUID]], tag_ids: Mapping[str, int]) -> _Noted:
    outcomes = _outcomes(told, fresh)
    rows: list[StoredEvent] = []
    entries: list[LogEntry] = []
    new = [*compress(zip(told.events, told.people, strict=True), outcomes)]
    received = map(_RECEIVED_AT, compress(told.events, outcomes))
    ids = event_ids.ids_of([*compress(told.keys, outcomes)], received)
    for (event, person), event_id in zip(new, ids, strict=True):
        row = StoredEvent(
            person.user_id,
            event_id,
            event.type,
            event.occurred_at,
            event.received_at,
            event.offer_id,
            event.decision_id,
            event.slot,
            event.properties,
        )
        rows.append(row)
        tags_known = [tag_ids[tag] for tag in event.tags if tag in tag_ids] if event.tags else ()
        entries.append(events.log_entry(row, person.time_zone, tags_known))
    return _Noted(outcomes, rows, entries)


def _outcomes(told: _Told, fresh: set[tuple[int, UUID]]) -> list[Outcome]:
    if len(fresh) == len(told.keys):  # as nearly always: all of them new and spoken for
        return [True] * len(told.keys)
    outcomes: list[Outcome] = []
    for key, is_spoken_for in zip(told.keys, told.is_spoken_for, strict=True):
        is_new = is_spoken_for and key in fresh
        outcomes.append(is_new if is_spoken_for else None)
        if is_new:
            fresh.discard(key)  # the second of two in one batch is a duplicate
    return outcomes
