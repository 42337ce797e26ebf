"""Pushes set off by events, in PostgreSQL: the rest of a person and the planned row are written in the event's own transaction.

Locks rests by user and campaign. Nobody who holds one asks for a person, an event's key or another row of the outbox.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from push import outbox_days
from push.triggers import Armed, Triggered
from schema.campaign import Campaign, StoredCampaign
from schema.decision import Channel

CHANNEL: Final = "push_planned"
"""Told when a row is planned that may be due at once."""

_ARMED: Final = """
    select c.campaign_id, c.status, c.body,
           array(select o.offer_id from offers o
                  where o.external_id = any (array(select jsonb_array_elements_text(c.body -> 'trigger' -> 'offers'))))
      from campaigns c
     where c.status = 'active' and jsonb_typeof(c.body -> 'trigger') = 'object'
       and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))
     order by c.campaign_id
"""
# A rest that is not over lets nothing through; of two at once the second waits for the first, and sees its rest.
_PLAN: Final = """
    with asked as materialized (
        select * from unnest($1::bigint[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::smallint[], $7::timestamptz[],
                             $8::timestamptz[])
            as t(user_id, campaign_id, occurrence_at, rests_until, outbox_id, bucket, send_at, expires_at)
    ), begun as (
        insert into triggerings (user_id, campaign_id, triggered_at, rests_until)
        select user_id, campaign_id, occurrence_at, rests_until from asked order by user_id, campaign_id
        on conflict (user_id, campaign_id) do update set triggered_at = excluded.triggered_at, rests_until = excluded.rests_until
         where triggerings.rests_until <= excluded.triggered_at
        returning user_id, campaign_id
    ), planned as (
        insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at,
                            moment_propensity)
        select a.user_id, a.campaign_id, a.occurrence_at, $9, a.outbox_id, a.bucket, 0, a.send_at, a.expires_at, a.expires_at, 1
          from asked a join begun using (user_id, campaign_id)
        on conflict do nothing returning 1
    ), counted as (select count(*) as pushes from planned)
    select pushes, case when pushes > 0 then pg_notify('push_planned', '') end from counted
"""
_PURGE: Final = """
    delete from triggerings where ctid = any (array(
        select ctid from triggerings where rests_until < $1 order by rests_until limit $2))
"""
_PURGE_ROWS_MAX: Final = 10_000


async def armed(connection: Any) -> list[Armed]:
    """Active campaigns that wait for events; none while all sending is stopped."""
    found = []
    for row in await connection.fetch(_ARMED):
        campaign = StoredCampaign(id=row[0], status=row[1], campaign=msgspec.convert(row[2], Campaign))
        if campaign.campaign.trigger is not None:
            found.append(Armed(campaign, campaign.campaign.trigger, frozenset(row[3])))
    return found


async def plan(connection: Any, rows: Sequence[Triggered]) -> int:
    """Writes planned rows in the caller's transaction, but for people who still rest; the number of rows that are new.

    No two rows may be of the same person and campaign.
    """
    if not rows:
        return 0
    await outbox_days.ensure(connection, [row.occurrence_at for row in rows])
    columns = [list(column) for column in zip(*rows, strict=True)]
    return int(await connection.fetchval(_PLAN, *columns, int(Channel.PUSH)))


async def purge(connection: Any, now: datetime) -> None:
    """Forgets rests that are over; some thousands at a call."""
    await connection.execute(_PURGE, now, _PURGE_ROWS_MAX)
