"""From an app's name of an offer to our id, of every offer that ever was: an answer may come after its offer has ended."""

from collections.abc import Collection, Mapping
from typing import Any, Final

_FIND: Final = "select external_id, offer_id from offers where external_id = any($1::text[])"


class OfferIds:
    """Remembers what it has found, because an id never changes; what is unknown is asked again."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._known: dict[str, int] = {}

    async def of(self, names: Collection[str]) -> Mapping[str, int]:
        """Ids by name; at least those of `names` that exist."""
        unknown = [name for name in names if name not in self._known]
        if unknown:
            self._known.update(await self._pool.fetch(_FIND, unknown))
        return self._known
