"""One decision, many channels: what was drawn for a person is put where their other channels find it, in the transaction of the draw."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from push.decider import Draft
from schema.campaign import StoredCampaign

# Positions rise in the order of commits, since a person's count stays locked until then: who has seen one has seen all before it. Taken in
# the order of people, after the allowances of what was promised, as every draw does.
_TO_INBOX: Final = """
    with given as materialized (
        select t.*, row_number() over (partition by user_id order by decision_id) as place
          from unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::integer[], $5::boolean[], $6::timestamptz[])
               as t(user_id, campaign_id, decision_id, offer_id, is_promised, expires_at)
    ), counted as (
        insert into inboxes (user_id, items) select user_id, count(*) from given group by user_id order by user_id
        on conflict (user_id) do update set items = inboxes.items + excluded.items
        returning user_id, items
    )
    insert into inbox_items (user_id, position, decision_id, campaign_id, offer_id, is_promised, put_at, expires_at)
    select g.user_id, c.items - (count(*) over (partition by g.user_id)) + g.place, g.decision_id, g.campaign_id, g.offer_id, g.is_promised,
           $7, g.expires_at
      from given g join counted c using (user_id)
"""
# What lies in the inbox was told in the app: a push that fails does not take the promise back.
_KEEP_PROMISES: Final = """
    update reservations r set held_by = r.held_by || $3::uuid
      from unnest($1::bigint[], $2::uuid[]) as t(user_id, decision_id)
     where r.user_id = t.user_id and r.state = 0 and t.decision_id = any (r.held_by) and not $3::uuid = any (r.held_by)
"""
_IN_APP: Final = UUID(int=0)
"""Holds a reservation for all that was told in the app (service.store.reservations)."""


class Told(NamedTuple):
    """What was drawn for a person by a campaign with other channels than push, and until when it lives."""

    campaign: StoredCampaign
    user_id: int
    expires_at: datetime
    decision_id: UUID
    draft: Draft


async def tell(connection: Any, told: Sequence[Told], now: datetime) -> None:
    """Puts each where its campaign's channels find it; the caller's transaction holds the people against a merge."""
    for_inbox = [one for one in told if "inbox" in one.campaign.campaign.channels]
    if for_inbox:
        await _to_inbox(connection, for_inbox, now)


async def _to_inbox(connection: Any, told: Sequence[Told], now: datetime) -> None:
    promised = [one for one in told if _is_promised(one)]
    rows = [
        (one.user_id, one.campaign.id, one.decision_id, one.draft.offer_id, _is_promised(one), one.expires_at)
        for one in told
    ]
    await connection.execute(_TO_INBOX, *map(list, zip(*rows, strict=True)), now)
    if promised:
        people, decisions = [one.user_id for one in promised], [one.decision_id for one in promised]
        await connection.execute(_KEEP_PROMISES, people, decisions, _IN_APP)


def _is_promised(told: Told) -> bool:
    return "reservation_id" in told.draft.data
