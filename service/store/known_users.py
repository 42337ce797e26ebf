"""Who each user_id is, as this process has found them: nobody's user_id becomes somebody else's, and who has one is never merged away.

So a writer of events need neither look them up nor hold them. Their clock may change, and they may go: PostgreSQL tells of it
(people.CHANNEL), and then they are looked up anew.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from service.store.people import USER, Person, PersonKey

USERS_MAX: Final = 100_000
"""About 300 bytes each."""

CHANGED_MAX: Final = 100_000


class _Known(NamedTuple):
    person: Person
    mark: int


class KnownUsers:
    """People by user_id; an anonymous_id may pass to another user and is not remembered.

    `mark` before a reading and `remember` after it: who changes in between is not remembered. A change is heard a moment after the answer to
    whoever made it. `is_told` says whether changes are heard at all; while they are not, nobody is known.
    """

    def __init__(self, is_told: Callable[[], bool] = lambda: True) -> None:
        self._is_told = is_told
        self._people: dict[str, _Known] = {}
        self._changed: dict[int, int] = {}
        self._count = 0
        self._all_before = 0

    def mark(self) -> int:
        """The present, in changes."""
        return self._count

    def each(self, keys: Sequence[PersonKey]) -> list[Person | None]:
        """The person of each key who is known and has not changed since; None for the others."""
        if not self._is_told():
            return [None] * len(keys)
        get, changed = self._people.get, self._changed
        found = [get(name) if kind == USER else None for kind, name in keys]
        if changed:
            found = [one if one and changed.get(one.person.user_id, 0) <= one.mark else None for one in found]
        return [one.person if one else None for one in found]

    def remember(self, found: Mapping[PersonKey, Person], mark: int) -> None:
        """What was read, or known, after `mark`, and is committed; it takes the place of older readings. Of too many those go that were found first."""
        if mark < self._all_before:
            return
        people = self._people
        for (kind, name), person in found.items():
            before = people.get(name)
            if kind == USER and (before is None or before.mark <= mark):
                people[name] = _Known(person, mark)
        while len(people) > USERS_MAX:
            del people[next(iter(people))]

    def has_changed(self, user_id: int) -> None:
        """What was found of this person until now counts no more."""
        self._count += 1
        self._changed[user_id] = self._count
        if len(self._changed) > CHANGED_MAX:
            self.forget_all()

    def forget_all(self) -> None:
        """What was found of anybody until now counts no more: changes may have been missed."""
        self._count += 1
        self._all_before = self._count
        self._people.clear()
        self._changed.clear()
