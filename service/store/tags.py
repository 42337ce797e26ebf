"""The taxonomy that offers and events share: each tag has a small number which never changes."""

import re
import unicodedata
from collections.abc import Collection
from typing import Any, Final

TAGS_MAX: Final = 4_096
EVENT_TAGS_MAX: Final = TAGS_MAX * 3 // 4
"""Events make no tag beyond this many, so that offers always find room."""

TAG_CHARACTERS_MAX: Final = 64

_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f;\ud800-\udfff]")

_FIND: Final = "select tag, tag_id from tags where tag = any($1::text[])"
_LOCK: Final = "lock table tags in share row exclusive mode"
_COUNT: Final = "select count(*) from tags"
_ADD: Final = """
    insert into tags (tag) select t from unnest($1::text[]) with ordinality as u(t, position) order by position
    returning tag, tag_id
"""


def normalise(tag: str) -> str:
    """The one spelling of a tag: lower case, composed characters, no white space around it."""
    return unicodedata.normalize("NFC", tag.lower()).strip()


def is_fit(tag: str) -> bool:
    """Can this normalised tag be kept? 1 to 64 characters, no control character, no ';' (it separates tags in CSV files)."""
    return 0 < len(tag) <= TAG_CHARACTERS_MAX and _UNFIT.search(tag) is None


async def known(connection: Any, tags: Collection[str]) -> dict[str, int]:
    """The ids of those normalised tags that exist."""
    return dict(await connection.fetch(_FIND, list(tags)))


async def room(connection: Any) -> int:
    """How many more tags may be added."""
    return TAGS_MAX - await _count(connection)


async def ensure(connection: Any, tags: Collection[str]) -> dict[str, int]:
    """The id of each tag by the text as given; new tags are added in alphabetical order, inside the caller's transaction.

    Left out are unfit tags and, when TAGS_MAX are known, those that would be new: the caller decides what that means.
    """
    return await _ensure(connection, tags, tags, TAGS_MAX)


async def of_events(connection: Any, tags: Collection[str], trusted: Collection[str]) -> dict[str, int]:
    """As `ensure`, but only those that are `trusted` too are added, and only while fewer than EVENT_TAGS_MAX are known."""
    return await _ensure(connection, tags, trusted, EVENT_TAGS_MAX)


async def _ensure(connection: Any, tags: Collection[str], may_be_new: Collection[str], tags_max: int) -> dict[str, int]:
    spelled = {tag: normalise(tag) for tag in tags}
    wanted = {tag for tag in spelled.values() if is_fit(tag)}
    # No cache: an id seen inside a transaction that is rolled back later would never have existed.
    ids = await known(connection, wanted) if wanted else {}
    missing = (wanted - ids.keys()) & {spelled[tag] for tag in may_be_new}
    # Asked before the lock, so that a full taxonomy does not make all writers queue for it.
    if missing and await _count(connection) < tags_max:
        ids |= await _add(connection, missing, tags_max)
    return {given: ids[tag] for given, tag in spelled.items() if tag in ids}


async def _add(connection: Any, tags: set[str], tags_max: int) -> dict[str, int]:
    # Reading again under the lock keeps conflicts from eating the 32,767 numbers of the identity column.
    async with connection.transaction():
        await connection.execute(_LOCK)
        ids = await known(connection, tags)
        missing = sorted(tags - ids.keys())[: max(0, tags_max - await _count(connection))]
        return ids | dict(await connection.fetch(_ADD, missing))


async def _count(connection: Any) -> int:
    return int(await connection.fetchval(_COUNT))
