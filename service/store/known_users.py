"""Who each user_id is, as this process has found them: nobody's user_id becomes somebody else's, and who has one is never merged away.

So a writer of events need neither look them up nor hold them. Their clock may change, and they may go: PostgreSQL tells of it
(people.CHANNEL), and then they are looked up anew.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from service.store.people import USER, Person, PersonKey

USERS_MAX: Final = 100_000
"""About 250 bytes each."""

CHANGED_MAX: Final = 10_000


class KnownUsers:
    """People by user_id; an anonymous_id may pass to another user and is not remembered.

    `mark` before a reading and `remember` after it: who changes in between is not remembered.
    """

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self._changed: dict[int, int] = {}
        self._count = 0
        self._all_before = 0

    def mark(self) -> int:
        """The present, in changes."""
        return self._count

    def of(self, keys: Iterable[PersonKey]) -> dict[PersonKey, Person]:
        """Those of the keys that are known and have not changed since."""
        get, changed = self._people.get, self._changed
        known = {key: person for key in keys if key[0] == USER and (person := get(key[1])) is not None}
        if changed:
            known = {key: person for key, person in known.items() if person.user_id not in changed}
        return known

    def remember(self, found: Mapping[PersonKey, Person], mark: int) -> None:
        """Takes the place of what was known, once that is committed; of too many those go that were found first."""
        if mark < self._all_before:
            return
        people, changed = self._people, self._changed
        for (kind, name), person in found.items():
            if kind != USER or people.get(name) is person or changed.get(person.user_id, 0) > mark:
                continue
            people[name] = person
            changed.pop(person.user_id, None)
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
