"""The people this process has decided for lately, as their rows were read: what there is to decide by when PostgreSQL is away."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from service.store.decision_people import DecisionPerson
from service.store.people import PersonKey

AGE_MAX_S: Final = 600.0
"""No row is decided by that was read longer ago."""

PEOPLE_MAX: Final = 10_000
"""About 2 KiB each."""

CHANGED_MAX: Final = 100_000


class _Entry(NamedTuple):
    person: DecisionPerson
    read_at_s: float
    mark: int


class KnownPeople:
    """Rows by the names people were asked for with. A row that has changed since it was read is not given any more.

    `mark` before a reading and `remember` after it: what changes in between is not lost.
    """

    def __init__(self) -> None:
        self._entries: dict[PersonKey, _Entry] = {}
        self._changed: dict[int, int] = {}
        self._count = 0
        self._all_before = 0

    def mark(self) -> int:
        """The present, in changes."""
        return self._count

    def remember(self, found: Mapping[PersonKey, DecisionPerson], mark: int) -> None:
        """Keeps rows that were read after `mark`; of too many those go that were read longest ago."""
        read_at_s = time.monotonic()
        for key, person in found.items():
            self._entries.pop(key, None)
            self._entries[key] = _Entry(person, read_at_s, mark)
        while len(self._entries) > PEOPLE_MAX:
            del self._entries[next(iter(self._entries))]

    def get(self, key: PersonKey) -> DecisionPerson | None:
        """A row that nobody has changed and that is young enough."""
        entry = self._entries.get(key)
        if entry is None or time.monotonic() - entry.read_at_s > AGE_MAX_S:
            return None
        changed = max(self._changed.get(entry.person.user_id, 0), self._all_before)
        return None if entry.mark < changed else entry.person

    def has_changed(self, user_id: int) -> None:
        """What was read of this person until now is not given any more."""
        self._count += 1
        self._changed[user_id] = self._count
        if len(self._changed) > CHANGED_MAX:
            self.forget_all()

    def forget_all(self) -> None:
        """Nothing that was read until now is given any more: changes may have been missed."""
        self._count += 1
        self._all_before = self._count
        self._changed.clear()
        self._entries.clear()
