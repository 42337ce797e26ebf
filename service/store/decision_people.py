"""What a decision reads of the people it is for: one query for a whole batch, and the version of the catalogue with it."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar

from service.store.people import PersonKey

_BY_KEY: Final = """
    select i.kind, i.external_id, (select version from catalogue_head), u.user_id, u.version,
           coalesce(u.time_zone, (select d.time_zone from devices d
                                   where d.user_id = u.user_id and d.time_zone is not null
                                   order by d.last_seen_at desc limit 1)),
           u.birth_date, u.has_push_consent, u.has_personalization_consent, u.opted_out_at, u.muted_until, u.vetoed_offer_ids,
           u.snoozed_offer_ids, u.snoozed_until, u.feedback_applied_through, u.created_at, s.tastes, s.personal,
           case i.kind when 1 then (select n.external_id from identities n where n.user_id = u.user_id and n.kind = 0 limit 1) end, null,
           coalesce(u.locale, (select d.locale from devices d
                                where d.user_id = u.user_id and d.locale is not null
                                order by d.last_seen_at desc limit 1))
      from unnest($1::smallint[], $2::text[]) as k(kind, external_id)
      join identities i using (kind, external_id)
      join users u on u.user_id = i.user_id
      left join user_state s on s.user_id = u.user_id
"""
_BY_ID: Final = """
    select (select version from catalogue_head), u.user_id, u.version,
           coalesce(u.time_zone, (select d.time_zone from devices d
                                   where d.user_id = u.user_id and d.time_zone is not null
                                   order by d.last_seen_at desc limit 1)),
           u.birth_date, u.has_push_consent, u.has_personalization_consent,
           u.opted_out_at, u.muted_until, u.vetoed_offer_ids, u.snoozed_offer_ids, u.snoozed_until,
           u.feedback_applied_through, u.created_at, s.tastes, s.personal, null, u.traits ->> 'store_id',
           coalesce(u.locale, (select d.locale from devices d
                                where d.user_id = u.user_id and d.locale is not null
                                order by d.last_seen_at desc limit 1))
      from users u left join user_state s on s.user_id = u.user_id
     where u.user_id = any($1::bigint[])
"""


class DecisionPerson(NamedTuple):
    """The user's row and learned state as they stood when the decision was made; without a time zone or locale that of the device seen last.

    `known_as` is the name of somebody who was asked for by an anonymous_id and has one, `store_id` the store they were said to go to: only a
    push needs that, the app tells where they are.
    """

    user_id: int
    version: int
    time_zone: str | None
    birth_date: date | None
    has_push_consent: bool
    has_personalization_consent: bool
    opted_out_at: datetime | None
    muted_until: datetime | None
    vetoed_offer_ids: list[int]
    snoozed_offer_ids: list[int]
    snoozed_until: list[datetime]
    feedback_applied_through: datetime | None
    created_at: datetime
    tastes: bytes | None
    personal: bytes | None = None
    known_as: str | None = None
    store_id: str | None = None
    locale: str | None = None


K = TypeVar("K")


class DecisionPeople(NamedTuple, Generic[K]):
    """The people of a batch, and the version the catalogue has; None when nobody was found."""

    people: dict[K, DecisionPerson]
    catalogue_version: int | None


async def by_key(connection: Any, keys: Collection[PersonKey]) -> DecisionPeople[PersonKey]:
    """The people an app names; who is not known is missing from the answer."""
    rows = await connection.fetch(_BY_KEY, [key.kind for key in keys], [key.external_id for key in keys])
    return DecisionPeople(
        {PersonKey(row[0], row[1]): DecisionPerson(*row[3:]) for row in rows}, rows[0][2] if rows else None
    )


async def by_id(connection: Any, user_ids: Sequence[int]) -> DecisionPeople[int]:
    """The people of our own ids."""
    rows = await connection.fetch(_BY_ID, user_ids)
    return DecisionPeople({row[1]: DecisionPerson(*row[1:]) for row in rows}, rows[0][0] if rows else None)
