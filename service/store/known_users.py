"""Which user of ours each user_id is, as this process has found them: nobody's user_id becomes somebody else's.

What is remembered may be of a user who was merged away since, or of one whose making was rolled back: whoever locks the row of a user
who is there and is not merged knows that it is right.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from service.store.people import USER, Named, Person, PersonKey

USERS_MAX: Final = 100_000
"""About 150 bytes each."""


class KnownUsers:
    """Users by user_id; an anonymous_id may pass to another user and is not remembered."""

    def __init__(self) -> None:
        self._user_ids: dict[str, int] = {}

    def of(self, keys: Iterable[PersonKey]) -> dict[PersonKey, Named]:
        """Those of the keys that are known, as service.store.people finds them."""
        get = self._user_ids.get
        return {key: (user_id, None) for key in keys if key[0] == USER and (user_id := get(key[1])) is not None}

    def remember(self, found: Mapping[PersonKey, Person]) -> None:
        """Takes the place of what was known; of too many those go that were found first."""
        get = self._user_ids.get
        self._user_ids |= {
            name: person.user_id
            for (kind, name), person in found.items()
            if kind == USER and get(name) != person.user_id
        }
        while len(self._user_ids) > USERS_MAX:
            del self._user_ids[next(iter(self._user_ids))]
