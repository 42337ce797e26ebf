"""What people forbid: an offer for ever, an offer for a while, being pushed at all."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

SNOOZE: Final = timedelta(days=14)

UserOffer = tuple[int, int]
"""user_id and offer_id."""

_VETO: Final = """
    update users u set vetoed_offer_ids = u.vetoed_offer_ids || k.offer_ids
      from (select t.user_id, array_agg(distinct t.offer_id) as offer_ids
              from unnest($1::bigint[], $2::integer[]) as t(user_id, offer_id) join users w using (user_id)
             where not t.offer_id = any(w.vetoed_offer_ids) group by t.user_id) k
     where u.user_id = k.user_id returning u.user_id
"""
_OPT_OUT: Final = """
    update users set opted_out_at = coalesce(opted_out_at, $2), has_push_consent = false
     where user_id = any($1::bigint[]) and (opted_out_at is null or has_push_consent) returning user_id
"""
# Snoozes that have ended are forgotten on the way.
_SNOOZE: Final = """
    with told as (
        select user_id, array_agg(distinct offer_id) as offer_ids from unnest($1::bigint[], $2::integer[]) as t(user_id, offer_id) group by user_id
    )
    update users u set
        snoozed_offer_ids = array(select s.offer_id from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                                   where not s.offer_id = any(t.offer_ids) and s.until > $3 order by s.offer_id) || t.offer_ids,
        snoozed_until = array(select s.until from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                               where not s.offer_id = any(t.offer_ids) and s.until > $3 order by s.offer_id)
                        || array_fill($4::timestamptz, array[cardinality(t.offer_ids)])
      from told t where u.user_id = t.user_id returning u.user_id
"""


async def veto(connection: Any, pairs: Collection[UserOffer]) -> set[int]:
    """These offers never again to these people, whom the caller holds. Gives the users of whom that was not known yet."""
    return await _changed(connection, _VETO, pairs)


async def snooze(connection: Any, pairs: Collection[UserOffer], now: datetime) -> set[int]:
    """These offers not for SNOOZE to these people, whom the caller holds; one that is snoozed already is snoozed anew. Gives the users."""
    return await _changed(connection, _SNOOZE, pairs, now, now + SNOOZE)


async def opt_out(connection: Any, user_ids: Collection[int], now: datetime) -> set[int]:
    """No push any more to these people, whom the caller holds. Gives those who had not said so."""
    rows = await connection.fetch(_OPT_OUT, list(user_ids), now) if user_ids else ()
    return {row[0] for row in rows}


async def _changed(connection: Any, statement: str, pairs: Collection[UserOffer], *instants: datetime) -> set[int]:
    if not pairs:
        return set()
    user_ids, offer_ids = zip(*pairs, strict=True)
    return {row[0] for row in await connection.fetch(statement, list(user_ids), list(offer_ids), *instants)}
