"""Folds the event log into what is learned, each entry exactly once: effect and place in the log are one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from bandits.words import INTEREST_OF
from push.clock import pause
from schema.ids import partition_of
from service.clock import Clock
from service.learning import books, pauses, ripening
from service.learning.books import Books, NewerProgramError, OvertakenError
from service.learning.facts import ABOUT_OFFERS, Fact, sound
from service.learning.fold import fold
from service.learning.gather import gather
from service.learning.poison import Poison
from service.store import answers, event_log, exposures, user_state
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.event_log import LogBatch
from service.store.pool import LOST
from service.telemetry import FAILURES, FOLDED, logger

WAKE_S: Final = 1.0
RETRY_S: Final = 1.0
NEWER_S: Final = 30.0
"""How often it is looked whether the sums of a newer program are still there."""

FUTILE_PASSES_MAX: Final = 100

FORGETS_EVERY: Final = timedelta(hours=6)
"""How often answers are deleted that have become too old to be matched anew."""

RIPENS_EVERY: Final = timedelta(minutes=1)
"""How often it is looked for showings whose window is over."""

_LOG: Final = logger("learner")


class _Pass(NamedTuple):
    """How much a pass has counted, entries or showings, and whether there was no more to be read."""

    counted: int
    is_complete: bool


class Learner:
    """Counts the log. Any number may run: of two that count the same entries one commits, the other rolls back.

    The pool's commits need not wait for the disk: a commit lost in a crash loses its place in the log too, and is made again.
    """

    def __init__(self, pool: Any, catalogue: CatalogueCache) -> None:
        self._pool = pool
        self._catalogue = catalogue
        self._books: Books | None = None
        self._forgot_at: datetime | None = None
        self._ripened_at: datetime | None = None
        self._is_older = False
        self._poison = Poison()

    async def fold_once(self, now: datetime) -> int:
        """One pass over all partitions; the number of entries that were counted, 0 also when another learner was quicker."""
        return (await self._pass(now, None)).counted

    async def catch_up(self, now: datetime, appended_before: datetime | None = None) -> int:
        """Passes until everything is counted that was in the log at the start; the number of entries counted here.

        With `appended_before` what was appended at or after that instant is left for another time.

        Raises:
            RuntimeError: another learner is quicker time and again.
        """
        return await _until_complete(lambda: self._pass(now, appended_before))

    async def ripen(self, now: datetime) -> int:
        """Counts, in people's own parts, what was shown and not redeemed by the end of its window; the number of showings counted here.

        Raises:
            RuntimeError: another learner is quicker time and again.
        """
        return await _until_complete(lambda: self._ripen(now))

    async def _pass(self, now: datetime, appended_before: datetime | None) -> _Pass:
        async def read_and_count(connection: Any, ours: Books) -> _Pass:
            offsets = {partition: place.last_seq for partition, place in ours.places.items()}
            batches, is_all = await event_log.read(connection, offsets, appended_before)
            counted = await self._count(connection, ours, batches, now) if batches else 0
            if is_all:
                await self._forget(connection, now)
            return _Pass(counted, is_all)

        done = await self._with_books(now, read_and_count)
        FOLDED.inc(done.counted)
        return done

    async def _ripen(self, now: datetime) -> _Pass:
        async def look(connection: Any, ours: Books) -> _Pass:
            counted = await ripening.ripen(connection, ours, now)
            return _Pass(counted, is_complete=counted < ripening.SHOWINGS_MAX)

        return await self._with_books(now, look)

    async def _with_books(self, now: datetime, work: Callable[[Any, Books], Awaitable[_Pass]]) -> _Pass:
        async with self._pool.acquire() as connection:
            ours = self._books or await books.load(connection, now)
            # Forgotten unless the work succeeds: after a failure memory and database differ.
            self._books = None
            try:
                done = await work(connection, ours)
            except OvertakenError:
                return _Pass(0, is_complete=False)
            self._books = ours
        return done

    async def _count(self, connection: Any, ours: Books, batches: Sequence[LogBatch], now: datetime) -> int:
        async def count(into: Books, some: Sequence[LogBatch]) -> int:
            return await self._fold(connection, into, some, now)

        return await self._poison.count(connection, ours, batches, count, now)

    async def _forget(self, connection: Any, now: datetime) -> None:
        """Called when all is counted: what a learner that was away has still to count may concern old answers."""
        if self._forgot_at is None or abs(now - self._forgot_at) >= FORGETS_EVERY:
            await answers.purge(connection, now)
            self._forgot_at = now

    async def _fold(self, connection: Any, ours: Books, batches: Sequence[LogBatch], now: datetime) -> int:
        people = await user_state.hold(connection, {entry.user_id for batch in batches for entry in batch.entries})
        # Of somebody who was erased nothing is learned any more.
        facts = [
            Fact(batch.partition, people[entry.user_id], entry)
            for batch in batches
            for entry in batch.entries
            if entry.user_id in people
        ]
        # After a merge the state of a person belongs to another partition than what is left of their old entries.
        moves = {partition: ours.places[partition].last_seq for partition in map(partition_of, people.values())}
        moves |= {batch.partition: batch.seq for batch in batches}
        await ours.advance(connection, moves)
        facts = sound(facts, now)
        known = await gather(connection, facts, await self._offers(connection, facts), ours.ripe_through)
        changes = fold(facts, known, now.timestamp())
        if changes.states:
            await user_state.put(connection, changes.states, now)
        if changes.exposures:
            await exposures.put(connection, changes.exposures, known.drawn)
        if changes.answers:
            await answers.put(connection, changes.answers)
        if changes.taken_back:
            await answers.delete(connection, changes.taken_back)
        await ours.add(connection, changes, now.timestamp())
        return sum(len(batch.entries) for batch in batches)

    async def _offers(self, connection: Any, facts: Sequence[Fact]) -> Catalogue:
        needed = ABOUT_OFFERS | INTEREST_OF.keys()
        if any(fact.entry.type in needed for fact in facts):
            return await self._catalogue.refresh(connection)
        return self._catalogue.current

    async def run(self, clock: Clock, stop: asyncio.Event) -> None:
        """Counts entries as they come, until `stop` is set; what fails is tried again."""
        while not stop.is_set():
            try:
                await self._follow(clock, stop)
            except NewerProgramError as error:
                self._tell_of_newer(error)
                await pause(NEWER_S, stop)
            except LOST as error:
                _LOG.warning("the learner starts again", error=type(error).__name__)
                await pause(RETRY_S, stop)
            except Exception:  # noqa: BLE001 - whatever it is, the worker's other loops go on, and so does learning when it is gone
                FAILURES.labels("learner").inc()
                _LOG.exception("the learner failed and starts again")
                await pause(RETRY_S, stop)

    def _tell_of_newer(self, error: NewerProgramError) -> None:
        """Once: while releases change it is as it should be."""
        if not self._is_older:
            FAILURES.labels("older_program").inc()
            _LOG.error("learning waits for a program as new as the sums", reason=str(error))
        self._is_older = True

    async def _follow(self, clock: Clock, stop: asyncio.Event) -> None:
        woken, is_awaited = asyncio.Event(), asyncio.Event()

        def wake(_connection: Any, _pid: int, _channel: str, urgency: object) -> None:
            woken.set()
            if urgency != event_log.IN_TIME:
                is_awaited.set()

        # A crash of PostgreSQL may have undone our last pass (it does not wait for the disk), and another learner made it since, to the
        # same revision.
        self._books = None
        async with self._pool.acquire() as listening:
            await listening.add_listener(event_log.CHANNEL, wake)
            try:
                was_overtaken = False
                while not stop.is_set() and not listening.is_closed():
                    woken.clear()
                    is_awaited.clear()
                    now = await clock.now()
                    await self._ripen_when_due(now)
                    done = await self._pass(now, None)
                    # Overtaken by a refit once, the next pass counts; by another learner time and again, that one counts.
                    if not done.counted and (done.is_complete or was_overtaken):
                        await _first_of(woken, stop, WAKE_S)
                    elif done.is_complete and (gathers_s := pauses.after(done.counted)):
                        await _first_of(is_awaited, stop, gathers_s)
                    was_overtaken = not done.counted and not done.is_complete
            finally:
                await listening.remove_listener(event_log.CHANNEL, wake)

    async def _ripen_when_due(self, now: datetime) -> None:
        """One piece; the rest of a backlog at the next looks, after the entries that have come meanwhile."""
        if self._ripened_at is None or abs(now - self._ripened_at) >= RIPENS_EVERY:
            done = await self._ripen(now)
            if done.is_complete:
                self._ripened_at = now


async def _until_complete(one_pass: Callable[[], Awaitable[_Pass]]) -> int:
    counted = futile = 0
    while futile < FUTILE_PASSES_MAX:
        done = await one_pass()
        counted += done.counted
        if done.is_complete:
            return counted
        futile = 0 if done.counted else futile + 1
    raise RuntimeError("another learner counts, time and again before this one")


async def _first_of(one: asyncio.Event, other: asyncio.Event, timeout_s: float) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
