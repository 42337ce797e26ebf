"""The people this process has decided for lately, as their rows were read: what there is to decide by when PostgreSQL is away."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from service.store.decision_people import DecisionPerson
from service.store.people import PersonKey

AGE_MAX_S: Final = 600.0
"""No row is decided by that was read longer ago."""

ROWS_MAX: Final = 10_000
"""About 2 KiB each; who was read twice counts twice."""

CHANGED_MAX: Final = 100_000


class _Reading(NamedTuple):
    people: Mapping[PersonKey, DecisionPerson]
    read_at_s: float
    mark: int


class KnownPeople:
    """Rows by the names people were asked for with. A row that has changed since it was read is not given any more.

    `mark` before a reading and `remember` after it: what changes in between is not lost. Readings are kept as they are, and gone through
    when somebody is asked for: that is seldom, and a reading is of every batch.
    """

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque()
        self._rows = 0
        self._newest: dict[PersonKey, _Reading] | None = None
        self._changed: dict[int, int] = {}
        self._count = 0
        self._all_before = 0

    def mark(self) -> int:
        """The present, in changes."""
        return self._count

    def remember(self, found: Mapping[PersonKey, DecisionPerson], mark: int) -> None:
        """Keeps rows that were read after `mark`, and does not copy them; of too many those go that were read longest ago."""
        self._readings.append(_Reading(found, time.monotonic(), mark))
        self._rows += len(found)
        self._newest = None
        while self._rows > ROWS_MAX and len(self._readings) > 1:
            self._rows -= len(self._readings.popleft().people)

    def get(self, key: PersonKey) -> DecisionPerson | None:
        """A row that nobody has changed and that is young enough."""
        if self._newest is None:
            self._newest = {one: reading for reading in self._readings for one in reading.people}
        reading = self._newest.get(key)
        if reading is None or time.monotonic() - reading.read_at_s > AGE_MAX_S:
            return None
        person = reading.people[key]
        changed = max(self._changed.get(person.user_id, 0), self._all_before)
        return None if reading.mark < changed else person

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
        self._readings.clear()
        self._rows, self._newest = 0, None
