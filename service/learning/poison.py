"""Entries of the log that make a pass fail: looked for, tried three times, then left out of the pass that puts them aside."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from service.learning import books, culprits
from service.learning.books import Books, NewerProgramError, OvertakenError
from service.store import dead_letters
from service.store.dead_letters import DeadLetter
from service.store.event_log import LogBatch
from service.telemetry import DEAD_LETTERS, FAILURES, logger

TRIES_MAX: Final = 3

_OF_DATA: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
_OF_THE_MOMENT: Final = (
    OvertakenError,
    NewerProgramError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    MemoryError,
)

_LOG: Final = logger("learner")

Count = Callable[[Books, Sequence[LogBatch]], Awaitable[int]]
"""Counts batches into books, in the caller's transaction; how many entries."""


def may_be_poison(error: Exception) -> bool:
    """Whether it may lie in what was to be counted, and not in the moment."""
    return isinstance(error, _OF_DATA) or not isinstance(error, _OF_THE_MOMENT)


class Poison:
    """What a learner remembers of entries that failed; another learner, or this one after a crash, begins to count anew."""

    def __init__(self) -> None:
        self._tries: Counter[UUID] = Counter()
        self._reasons: dict[UUID, str] = {}

    async def count(
        self, connection: Any, ours: Books, batches: Sequence[LogBatch], count: Count, now: datetime
    ) -> int:
        """Counts in one transaction, with what is put aside; how many entries.

        Raises:
            Exception: whatever `count` raises; what of it may lie in the entries has been looked for.
        """
        letters = self._among(batches)
        others = _without(batches, letters)
        try:
            async with connection.transaction():
                counted = await count(ours, others)
                if letters:
                    await dead_letters.put(connection, letters, now)
        except Exception as error:
            if may_be_poison(error):
                await self._examine(others, lambda some: _tried(connection, some, count, now))
            raise
        self._put_aside(letters)
        return counted

    async def _examine(self, batches: Sequence[LogBatch], trial: culprits.Trial) -> None:
        """Looks for those that fail, and counts a try of each. What it did not come to is looked for when these are left out."""
        found = await culprits.find(batches, trial)
        for entry, error in found.culprits:
            self._tries[entry.event_id] += 1
            self._reasons[entry.event_id] = type(error).__qualname__
            FAILURES.labels("poison_event").inc()
            _LOG.error("an event cannot be counted", event_id=str(entry.event_id), tries=self._tries[entry.event_id])
        if not found.is_complete:
            FAILURES.labels("poison_flood").inc()
            entries = sum(len(batch.entries) for batch in batches)
            _LOG.error(
                "more events cannot be counted than are looked for at once", found=len(found.culprits), of=entries
            )

    def _among(self, batches: Sequence[LogBatch]) -> list[DeadLetter]:
        """The entries of these batches that have been tried often enough."""
        if not self._tries:
            return []
        entries = [entry for batch in batches for entry in batch.entries]
        dead = [entry for entry in entries if self._tries[entry.event_id] >= TRIES_MAX]
        return [DeadLetter(entry, self._reasons[entry.event_id]) for entry in dead]

    def _put_aside(self, letters: Sequence[DeadLetter]) -> None:
        """They are where they can be seen and replayed: if they come again they are tried anew."""
        for letter in letters:
            self._tries.pop(letter.entry.event_id, None)
            self._reasons.pop(letter.entry.event_id, None)
            _LOG.error("an event was put aside", event_id=str(letter.entry.event_id), reason=letter.reason)
        DEAD_LETTERS.inc(len(letters))


def _without(batches: Sequence[LogBatch], letters: Sequence[DeadLetter]) -> Sequence[LogBatch]:
    """The same batches, as far as the log is concerned, without these entries."""
    if not letters:
        return batches
    dead = {letter.entry.event_id for letter in letters}
    return [batch._replace(entries=[one for one in batch.entries if one.event_id not in dead]) for batch in batches]


async def _tried(connection: Any, batches: Sequence[LogBatch], count: Count, now: datetime) -> Exception | None:
    ours = await books.load(connection, now)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await count(ours, batches)
    except Exception as error:
        if not may_be_poison(error):
            raise
        return error
    finally:
        await transaction.rollback()
    return None
