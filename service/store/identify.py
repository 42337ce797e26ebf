"""What an app tells us about a person, and the day on which somebody unknown turns out to be somebody known."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from schema.ids import UserId
from schema.user import PERSON_TAGS_MAX
from service.store import people
from service.store.merge import MergeState, merge
from service.store.people import ANONYMOUS, USER, PersonKey, Speaker

TRAITS_BYTES_MAX: Final = 64 * 1024
_ATTEMPTS: Final = 5

_FIND: Final = "select user_id from identities where kind = $1 and external_id = $2"
_LINK: Final = """
    insert into identities (kind, external_id, user_id, linked_at) values ($1, $2, $3, $4)
    on conflict do nothing returning user_id
"""
_REPOINT: Final = "update identities set user_id = $3, linked_at = $4 where kind = $1 and external_id = $2"
_LOCK: Final = (
    "select user_id from users where user_id = any($1::bigint[]) and merged_into is null order by user_id for update"
)
_NAMES: Final = "select external_id from identities where user_id = $1 and kind = 0"
_RENAME: Final = "update users set external_id = $2 where user_id = $1"
_DESCRIBE: Final = """
    update users set
        version = version + 1,
        feedback_applied_through = greatest(feedback_applied_through, $2),
        time_zone = coalesce($3, time_zone),
        locale = coalesce($4, locale),
        birth_date = coalesce($5, birth_date),
        traits = traits || $6::jsonb,
        tags = array(select distinct tag from unnest(coalesce($7::text[], tags) || $8::text[]) as given(tag)
                      where tag <> all ($9::text[]) order by tag)
     where user_id = $1
    returning feedback_applied_through, octet_length(traits::text), cardinality(tags)
"""


class Tagging(NamedTuple):
    """How a person's normalised tags change: to these (None: to those there are), and these, but for these."""

    replaced_by: Sequence[str] | None = None
    added: Sequence[str] = ()
    removed: Sequence[str] = ()


class Profile(NamedTuple):
    """What is told about a person; None leaves what is known, traits are merged key by key."""

    time_zone: str | None
    locale: str | None
    birth_date: date | None
    traits: dict[str, Any]
    tagging: Tagging = Tagging()


class TraitsTooLarge(Exception):
    """The merged traits take more than TRAITS_BYTES_MAX bytes; nothing was written."""


class TooManyTags(Exception):
    """The person would have more than PERSON_TAGS_MAX tags; nothing was written."""


class _Raced(Exception):
    """Somebody else linked one of the two at the same time: begin again."""


async def identify(
    connection: Any,
    speaker: Speaker,
    anonymous: str | None,
    profile: Profile,
    now: datetime,
    *,
    merge_state: MergeState,
) -> datetime:
    """Writes the profile of a person in a transaction of its own; of a user with an anonymous id too, links the two first.

    Returns the watermark of feedback.

    Raises:
        TraitsTooLarge: the traits have grown beyond their bound.
        TooManyTags: more than there are bounds for, by tags that are new.
        ApiError: 403, when the caller may not speak for the anonymous id.
    """
    for attempt in range(_ATTEMPTS):
        try:
            async with connection.transaction():
                user_id = await _resolve(connection, speaker, anonymous, now, merge_state)
                return await _describe(connection, user_id, profile, now)
        except _Raced:
            if attempt == _ATTEMPTS - 1:
                raise RuntimeError("the ids were linked again and again by others") from None
    raise AssertionError("unreachable")


async def _describe(connection: Any, user_id: int, profile: Profile, now: datetime) -> datetime:
    row = await connection.fetchrow(
        _DESCRIBE, user_id, now, profile.time_zone, profile.locale, profile.birth_date, profile.traits, *profile.tagging
    )
    if row[1] > TRAITS_BYTES_MAX:
        raise TraitsTooLarge(f"traits may take {TRAITS_BYTES_MAX} bytes in all, these would take {row[1]}")
    # Two people who became one may have more between them: only who adds some is refused.
    if row[2] > PERSON_TAGS_MAX and (profile.tagging.replaced_by or profile.tagging.added):
        raise TooManyTags(f"a person may have {PERSON_TAGS_MAX} tags, these would be {row[2]}")
    return row[0]  # type: ignore[no-any-return] # asyncpg is untyped


async def _resolve(
    connection: Any, speaker: Speaker, anonymous: str | None, now: datetime, merge_state: MergeState
) -> int:
    if speaker.key.kind == USER and anonymous is not None:
        return await _link(connection, speaker, anonymous, now, merge_state)
    person = await people.ensure_and_hold(connection, speaker.key, now)
    if not speaker.speaks_for(person.known_as):
        raise people.refused()
    return person.user_id


async def _link(connection: Any, speaker: Speaker, anonymous: str, now: datetime, merge_state: MergeState) -> UserId:
    known = speaker.key.external_id
    user: int | None = await connection.fetchval(_FIND, USER, known)
    stranger: int | None = await connection.fetchval(_FIND, ANONYMOUS, anonymous)
    if user is None and stranger is not None and not await connection.fetch(_NAMES, stranger):
        return await _adopt(connection, known, stranger, now)
    if user is None:
        await people.create(connection, [PersonKey(USER, known)], now)
        user = await connection.fetchval(_FIND, USER, known)
    if stranger is None:
        await _insert(connection, PersonKey(ANONYMOUS, anonymous), user, now)
    both = sorted({user, stranger or user})
    await _lock(connection, both)
    if stranger is not None and stranger != user:
        if speaker.is_bounded and await connection.fetch(_NAMES, stranger):
            raise people.refused()
        await _join(connection, user, (stranger, anonymous), now, merge_state)
    return UserId(user)


async def _adopt(connection: Any, known: str, stranger: int, now: datetime) -> UserId:
    """The stranger gets a name and stays the same user: nothing has to move."""
    await _insert(connection, PersonKey(USER, known), stranger, now)
    await _lock(connection, [stranger])
    if len(await connection.fetch(_NAMES, stranger)) != 1:
        raise _Raced
    await connection.execute(_RENAME, stranger, known)
    return UserId(stranger)


async def _join(connection: Any, user: int, stranger: tuple[int, str], now: datetime, merge_state: MergeState) -> None:
    stranger_id, anonymous = stranger
    if await connection.fetch(_NAMES, stranger_id):
        # A shared phone: two known people are never merged, only what comes from now on is the other's.
        await connection.execute(_REPOINT, ANONYMOUS, anonymous, user, now)
    else:
        await merge(connection, user, stranger_id, now, merge_state)


async def _insert(connection: Any, key: PersonKey, user_id: int, now: datetime) -> None:
    if await connection.fetchval(_LINK, key.kind, key.external_id, user_id, now) is None:
        raise _Raced


async def _lock(connection: Any, user_ids: list[int]) -> None:
    if len(await connection.fetch(_LOCK, user_ids)) != len(user_ids):
        raise _Raced
