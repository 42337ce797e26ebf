"""What a draw reads of many people at once, a column at a time: those of whom nothing out of the ordinary is known need nothing made of their rows."""

from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PUSH_CONSENT: Final = 1
PERSONALIZATION_CONSENT: Final = 2
REFUSED: Final = 4
"""Opted out, muted, or with offers they refused or put off."""

OWN_RULES: Final = 8
"""With quiet hours or limits of their own, or pushes that count."""

_UNBORN: Final = -(1 << 31)
_EPOCH: Final = date(2000, 1, 1)

# As in decision_people and contacts; a column of all is one value.
_READ: Final = """
    select (select version from catalogue_head), (select max(version) from contact_rules), string_agg(int8send(user_id), ''),
           string_agg(int8send(version), ''), string_agg(timestamptz_send(created_at), ''), string_agg(int2send(flags), ''),
           string_agg(coalesce(date_send(birth_date), '\\x80000000'), ''), array_agg(zone), array_agg(store_id), array_agg(locale),
           string_agg(coalesce(tastes, ''), ''), string_agg(int4send(coalesce(octet_length(tastes), 0)), ''),
           string_agg(coalesce(personal, ''), ''), string_agg(int4send(coalesce(octet_length(personal), 0)), '')
      from (
        select u.user_id, u.version, u.created_at, u.birth_date,
               coalesce(u.time_zone, (select d.time_zone from devices d
                                       where d.user_id = u.user_id and d.time_zone is not null
                                       order by d.last_seen_at desc limit 1)) as zone,
               u.traits ->> 'store_id' as store_id,
               coalesce(u.locale, case when $2 then (select d.locale from devices d
                                    where d.user_id = u.user_id and d.locale is not null
                                    order by d.last_seen_at desc limit 1) end) as locale,
               s.tastes, s.personal,
               (case when u.has_push_consent then 1 else 0 end + case when u.has_personalization_consent then 2 else 0 end
                + case when u.opted_out_at is not null or u.muted_until is not null or u.vetoed_offer_ids <> '{}'
                         or u.snoozed_offer_ids <> '{}' then 4 else 0 end
                + case when u.quiet_minutes <> '{}' or u.pushes_per_day_max is not null or u.pushes_per_week_max is not null
                         or c.sent <> '[]' then 8 else 0 end)::smallint as flags
          from users u left join user_state s on s.user_id = u.user_id
          left join lateral (select sent from contacts where contacts.user_id = u.user_id limit 1) c on true
         where u.user_id = any($1::bigint[])
      ) known
"""


class Packed(NamedTuple):
    """Learned states one after the other, and (n,) the bytes of each; 0 of whom nothing is known."""

    data: bytes
    sizes: I64


class DuePeople(NamedTuple):
    """The people who were found, each once: versions of their rows, joined microseconds since 2000, flags, birthdays as days since 2000."""

    catalogue_version: int | None
    rules_version: int | None
    user_ids: I64
    versions: I64
    joined: I64
    flags: I64
    births: list[int]
    zones: list[str | None]
    stores: list[str | None]
    locales: list[str | None]
    tastes: Packed
    personal: Packed

    def places(self, user_ids: I64) -> I64:
        """Where each of these people is, (n,); -1 of who was not found."""
        if not len(self.user_ids):
            return np.full(len(user_ids), -1)
        order = np.argsort(self.user_ids)
        found = order[np.minimum(np.searchsorted(self.user_ids, user_ids, sorter=order), len(order) - 1)]
        return np.where(self.user_ids[found] == user_ids, found, -1)


def birthday(days: int) -> date | None:
    """Of days since 2000."""
    return None if days == _UNBORN else _EPOCH + timedelta(days)


async def read(connection: Any, user_ids: I64, *, with_locales: bool) -> DuePeople:
    """The people of our own ids as they stand now; their language as the last device seen has it only if that is asked for."""
    version, rules_version, *columns = await connection.fetchrow(_READ, user_ids.tolist(), with_locales)
    users, versions, joined, flags, births, zones, stores, locales, *states = columns
    tastes, tastes_sizes, personal, personal_sizes = states
    return DuePeople(
        version,
        rules_version,
        _numbers(users, ">i8"),
        _numbers(versions, ">i8"),
        _numbers(joined, ">i8"),
        _numbers(flags, ">i2"),
        _numbers(births, ">i4").tolist(),
        zones or [],
        stores or [],
        locales or [],
        Packed(tastes or b"", _numbers(tastes_sizes, ">i4")),
        Packed(personal or b"", _numbers(personal_sizes, ">i4")),
    )


def _numbers(column: bytes | None, kind: str) -> I64:
    return np.frombuffer(column or b"", kind).astype(np.int64)
