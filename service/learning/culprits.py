"""Which entries make a pass fail: found by halves, and where only some together do, by the entry with which those before it begin to fail."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from schema.log import LogEntry
from service.store.event_log import LogBatch

TRIALS_MAX: Final = 128
"""Of one search. One entry among 16,384 takes 29, thirty that stand together about a hundred."""

Trial = Callable[[Sequence[LogBatch]], Awaitable[Exception | None]]
"""Counts batches and undoes it; what it raised, None when it went well."""

_Item = tuple[int, LogEntry]


class Culprit(NamedTuple):
    """An entry, and what was raised when it was counted: alone, or on top of some before it."""

    entry: LogEntry
    error: Exception


class Found(NamedTuple):
    """What a search has found; it is not complete where TRIALS_MAX ended it."""

    culprits: list[Culprit]
    is_complete: bool


class _TooManyTrials(Exception):
    """Ends a search."""


async def find(batches: Sequence[LogBatch], trial: Trial) -> Found:
    """Always looks in the same order: what it finds first it finds first again. Raises what `trial` raises."""
    search = _Search(batches, trial)
    items = [(place, entry) for place, batch in enumerate(batches) for entry in batch.entries]
    try:
        if items and (error := await search.tried(items)):
            await search.look(items, error)
    except _TooManyTrials:
        return Found(search.culprits, is_complete=False)
    return Found(search.culprits, is_complete=True)


class _Search:
    def __init__(self, batches: Sequence[LogBatch], trial: Trial) -> None:
        self.culprits: list[Culprit] = []
        self._batches = batches
        self._trial = trial
        self._trials = 0

    async def tried(self, items: Sequence[_Item]) -> Exception | None:
        if self._trials == TRIALS_MAX:
            raise _TooManyTrials
        self._trials += 1
        kept: dict[int, list[LogEntry]] = {}
        for place, entry in items:
            kept.setdefault(place, []).append(entry)
        return await self._trial([self._batches[place]._replace(entries=entries) for place, entries in kept.items()])

    async def look(self, items: Sequence[_Item], error: Exception) -> None:
        """Of items that fail: of n with one bad one 2 log2 n trials."""
        if len(items) == 1:
            self.culprits.append(Culprit(items[0][1], error))
            return
        middle = len(items) // 2
        first = await self.tried(items[:middle])
        if first:
            await self.look(items[:middle], first)
        second = await self.tried(items[middle:])
        if second:
            await self.look(items[middle:], second)
        if not first and not second:
            await self._tip(items, middle, error)

    async def _tip(self, items: Sequence[_Item], sound: int, error: Exception) -> None:
        """Of items that fail only together, the first `sound` of which do not: log2 n trials."""
        failing = len(items)
        while failing - sound > 1:
            middle = (sound + failing) // 2
            found = await self.tried(items[:middle])
            if found:
                failing, error = middle, found
            else:
                sound = middle
        self.culprits.append(Culprit(items[failing - 1][1], error))
