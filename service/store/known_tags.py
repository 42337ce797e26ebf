"""The tags that events speak of, as this process has found them: a tag's number never changes, and none is ever taken away."""

from collections.abc import Set as AbstractSet
from typing import Any, Final

from service.store import tags

SPELLINGS_MAX: Final = 4 * tags.TAGS_MAX
"""Of the tags that are known; when there are more, all are looked up anew."""


class KnownTags:
    """Numbers of tags by the text as given."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    async def of_events(self, connection: Any, told: AbstractSet[str], trusted: AbstractSet[str]) -> dict[str, int]:
        """As service.store.tags.of_events; not to be called in a transaction, which might be rolled back with the tags it has made."""
        ids = {tag: self._ids[tag] for tag in told if tag in self._ids}
        if len(ids) < len(told):
            unknown = told - ids.keys()
            found = await tags.of_events(connection, unknown, unknown & trusted)
            if len(self._ids) + len(found) > SPELLINGS_MAX:
                self._ids.clear()
            self._ids |= found
            ids |= found
        return ids
