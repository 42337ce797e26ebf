"""Who is meant: from an app's own id to our user, made on first sight and held against a merge while we write for them."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from service.errors import ApiError

USER: Final = 0
ANONYMOUS: Final = 1
_ATTEMPTS: Final = 3


class PersonKey(NamedTuple):
    """How an app names a person: `kind` is USER or ANONYMOUS, as stored in identities."""

    kind: int
    external_id: str


class Speaker(msgspec.Struct, frozen=True, gc=False):
    """For whom a call acts; a bounded one reaches by an anonymous_id only strangers, and the known person whose name is `subject`."""

    key: PersonKey
    is_bounded: bool = False
    subject: str | None = None

    def speaks_for(self, known_as: str | None) -> bool:
        """Whether that goes for the person of its key, who has this name or none."""
        return not self.is_bounded or known_as is None or known_as == self.subject


class Person(msgspec.Struct, frozen=True, gc=False):
    """Our user, the zone of their clock (their own, else that of the device seen last), and for an anonymous_id the name they have."""

    user_id: int
    time_zone: str | None
    known_as: str | None


Named = tuple[int, str | None]
"""Our user of a key, and for an anonymous_id the name they have."""

NOBODY: Final[Mapping[PersonKey, Person]] = MappingProxyType({})

CHANNEL: Final = "person"
"""Where PostgreSQL tells the user_id of each user of ours whose wishes, consents or clock have changed, or who is gone."""

# The identity comes first: on a conflict nothing is left behind but an unused number.
_CREATE: Final = """
    with made as (
        insert into identities (kind, external_id, user_id, linked_at)
        select k.kind, k.external_id, nextval(pg_get_serial_sequence('users', 'user_id')), $3
          from unnest($1::smallint[], $2::text[]) with ordinality as k(kind, external_id, place)
         where not exists (select 1 from identities i where i.kind = k.kind and i.external_id = k.external_id)
         order by k.place
        on conflict do nothing
        returning user_id, external_id
    )
    insert into users (user_id, external_id, created_at) overriding system value
    select user_id, external_id, $3 from made
"""
# A row that a merge changes while we wait for it fails the condition when it is looked at again, and is then found anew.
_FIND: Final = """
    select i.kind, i.external_id, u.user_id, coalesce(u.time_zone, (
             select d.time_zone from devices d
              where d.user_id = u.user_id and d.time_zone is not null order by d.last_seen_at desc limit 1)),
           case i.kind when 1 then (select n.external_id from identities n where n.user_id = u.user_id and n.kind = 0 limit 1) end
      from unnest($1::smallint[], $2::text[]) as k(kind, external_id)
      join identities i using (kind, external_id)
      join users u on u.user_id = i.user_id and u.merged_into is null
     order by u.user_id
"""
_FIND_AND_HOLD: Final = _FIND + " for no key update of u"
# A flat condition on each table costs the server half of what the join of both with the keys does.
_NAMED: Final = """
    select kind, external_id, user_id, null::text from identities where kind = 0 and external_id = any($1::text[])
    union all
    select i.kind, i.external_id, i.user_id,
           (select n.external_id from identities n where n.user_id = i.user_id and n.kind = 0 limit 1)
      from identities i where i.kind = 1 and i.external_id = any($2::text[])
"""
# The devices of all at once: to look for them person by person costs the server a quarter more.
_SHARE: Final = """
    select u.user_id, coalesce(u.time_zone, d.time_zone)
      from users u left join (
             select distinct on (user_id) user_id, time_zone from devices
              where user_id = any($1::bigint[]) and time_zone is not null order by user_id, last_seen_at desc) d using (user_id)
     where u.user_id = any($1::bigint[]) and u.merged_into is null
     order by u.user_id for key share of u
"""
_HOLD_BY_ID: Final = """
    select was.user_id, u.user_id, coalesce(u.time_zone, (
             select d.time_zone from devices d
              where d.user_id = u.user_id and d.time_zone is not null order by d.last_seen_at desc limit 1))
      from users was join users u on u.user_id = coalesce(was.merged_into, was.user_id) and u.merged_into is null
     where was.user_id = any($1::bigint[])
     order by u.user_id
       for no key update of u
"""
_THERE_ARE: Final = "select count(*) from users where user_id = any($1::bigint[])"
# Of rows that the transaction holds already.
_RAISE: Final = """
    update users set version = version + 1, feedback_applied_through = greatest(feedback_applied_through, $2)
     where user_id = any($1::bigint[]) returning user_id, feedback_applied_through
"""


def refused() -> ApiError:
    """What is told to whoever may not speak for a person by their anonymous_id."""
    detail = (
        "This anonymous_id belongs to a known user: send that user's token in X-User-Token, or take a new anonymous_id."
    )
    return ApiError(403, "user_token_required", detail)


async def ensure(
    connection: Any, keys: Collection[PersonKey], now: datetime, remembered: Mapping[PersonKey, Person] = NOBODY
) -> dict[PersonKey, Person]:
    """The person of every key, made when missing; until the caller's transaction ends no merge can take them away.

    Locks in a fixed order (identities by key, then users by id), so transactions that begin with this cannot deadlock on people.
    Who is `remembered` by their user_id is neither looked up nor locked: no merge takes away who has one (service.store.known_users).
    """
    people = dict(remembered)
    missing = set(keys) - people.keys()
    for _ in range(_ATTEMPTS):
        if not missing:
            return people
        people |= await _shared(connection, await _ensured(connection, missing, now))
        # Whoever was merged away between the two is found anew.
        missing -= people.keys()
    if missing:
        raise _vanished(len(missing))
    return people


async def _shared(connection: Any, named: Mapping[PersonKey, Named]) -> dict[PersonKey, Person]:
    """Those who are still there, held against a merge."""
    zones = dict(await connection.fetch(_SHARE, list({user_id for user_id, _ in named.values()})))
    return {key: Person(user_id, zones[user_id], name) for key, (user_id, name) in named.items() if user_id in zones}


async def _ensured(connection: Any, keys: AbstractSet[PersonKey], now: datetime) -> dict[PersonKey, Named]:
    named = await _named(connection, keys)
    if len(named) < len(keys):
        await create(connection, keys - named.keys(), now)
        named = await _named(connection, keys)
    return named


async def _named(connection: Any, keys: Collection[PersonKey]) -> dict[PersonKey, Named]:
    """Our user of each known key, and for an anonymous_id the name they have; without a lock."""
    users = [external_id for kind, external_id in keys if kind == USER]
    anonymous = [external_id for kind, external_id in keys if kind == ANONYMOUS]
    rows = await connection.fetch(_NAMED, users, anonymous)
    return {PersonKey(kind, external_id): (user_id, name) for kind, external_id, user_id, name in rows}


async def create(connection: Any, keys: Collection[PersonKey], now: datetime) -> None:
    """Makes the people that are missing; a transaction must do this before it locks any user."""
    ordered = sorted(set(keys))
    await connection.execute(_CREATE, [k.kind for k in ordered], [k.external_id for k in ordered], now)


async def find(connection: Any, key: PersonKey) -> Person | None:
    """The person of a key, without a lock; None when never heard of."""
    rows = await connection.fetch(_FIND, [key.kind], [key.external_id])
    return Person(*rows[0][2:]) if rows else None


async def find_for(connection: Any, speaker: Speaker) -> Person | None:
    """The person a call acts for, without a lock; None when never heard of. Raises ApiError 403."""
    return _spoken_for(speaker, await find(connection, speaker.key))


async def hold(connection: Any, key: PersonKey) -> Person | None:
    """The person of a key, locked for a write of the ledger lane; None when never heard of."""
    return (await hold_all(connection, [key])).get(key)


async def hold_all(connection: Any, keys: Sequence[PersonKey]) -> dict[PersonKey, Person]:
    """The people of these keys, locked as by `hold`, in the order of their ids; who was never heard of is missing.

    Raises RuntimeError when one of several is just merged away: to look again while others are held could deadlock.
    """
    if len(keys) == 1:
        return await _find_all(connection, _FIND_AND_HOLD, keys)
    found = await _find_all(connection, _FIND_AND_HOLD, keys, attempts=1)
    missing = set(keys) - found.keys()
    if missing and (lost := await _named(connection, missing)):
        raise _vanished(len(lost))
    return found


def _spoken_for(speaker: Speaker, person: Person | None) -> Person | None:
    if person is not None and not speaker.speaks_for(person.known_as):
        raise refused()
    return person


async def ensure_and_hold(connection: Any, key: PersonKey, now: datetime) -> Person:
    """The person of a key, made when missing, locked for a write of the ledger lane."""
    await create(connection, [key], now)
    return (await _found(connection, _FIND_AND_HOLD, [key]))[key]


async def hold_by_id(connection: Any, user_id: int) -> Person:
    """The person that a user of ours is now, locked for a write of the ledger lane."""
    found = await hold_all_by_id(connection, [user_id])
    if user_id not in found:
        raise _vanished(1)
    return found[user_id]


async def hold_all_by_id(connection: Any, user_ids: Collection[int]) -> dict[int, Person]:
    """The people that these users of ours are now, by the ids asked for, locked as by `hold_all`; who was erased is missing.

    Raises RuntimeError as `hold_all`.
    """
    people: dict[int, Person] = {}
    for _ in range(_ATTEMPTS if len(user_ids) == 1 else 1):
        rows = await connection.fetch(_HOLD_BY_ID, list(user_ids))
        people = {row[0]: Person(row[1], row[2], None) for row in rows}
        if len(people) == len(user_ids):
            return people
    lost = await connection.fetchval(_THERE_ARE, list(set(user_ids) - people.keys()))
    if lost:
        raise _vanished(lost)
    return people


async def raise_version(connection: Any, user_id: int, now: datetime) -> datetime:
    """As `raise_versions`, of one."""
    return (await raise_versions(connection, [user_id], now))[user_id]


async def raise_versions(connection: Any, user_ids: Collection[int], now: datetime) -> dict[int, datetime]:
    """Tells caches that these rows, which the caller holds, have changed; gives the watermarks of feedback, which never go back."""
    return dict(await connection.fetch(_RAISE, list(user_ids), now))


async def _found(connection: Any, query: str, keys: list[PersonKey]) -> dict[PersonKey, Person]:
    people = await _find_all(connection, query, keys)
    if len(people) < len(keys):
        raise _vanished(len(keys) - len(people))
    return people


def _vanished(count: int) -> RuntimeError:
    return RuntimeError(f"{count} people vanished while they were looked up")


async def _find_all(
    connection: Any, query: str, keys: Sequence[PersonKey], attempts: int = _ATTEMPTS
) -> dict[PersonKey, Person]:
    people: dict[PersonKey, Person] = {}
    for _ in range(attempts):
        missing = [key for key in keys if key not in people]
        rows = await connection.fetch(query, [k.kind for k in missing], [k.external_id for k in missing])
        people |= {PersonKey(row[0], row[1]): Person(*row[2:]) for row in rows}
        if len(people) == len(keys):
            break
    return people
