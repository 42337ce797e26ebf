"""Taking ready rows for sending, and stopping in the same statement those that must not leave any more."""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from push.outbox import Key

LEASE: Final = timedelta(seconds=60)
"""Longer than a channel's deadline: when it has passed, nobody knows whether the push was sent."""


class ReadyRow(NamedTuple):
    """A drawn row on its way out. Its life ends with the push's own or with the offer's, whichever is sooner."""

    key: Key
    outbox_id: UUID
    expires_at: datetime
    decision_id: UUID
    offer_id: int
    message: dict[str, Any]
    address: str
    address_kind: str
    fence: int
    attempts: int
    platform: str = ""


class Claimed(NamedTuple):
    """`rows` are to be sent; `taken` also counts those that were stopped."""

    rows: list[ReadyRow]
    taken: int


# One statement, hence one transaction, committed when it returns. What was said or changed before it began stops the push.
# The second limit takes nothing away: it tells the planner how few rows there are, and the lateral join of users keeps it from
# reading them all. The rows are locked, so their place is theirs.
_CLAIM: Final = """
    with going as materialized (
        select c.campaign_id, c.status = 'ended' as has_ended
          from campaigns_with_ready join campaigns c using (campaign_id) cross join lateral (
            select 1 from outbox o where o.campaign_id = c.campaign_id and o.state = 1 and o.send_at <= $1
             order by o.send_at limit 1) due
         where c.status <> 'paused' limit $2
    ), due as materialized (
        select share.*, going.has_ended
          from going cross join lateral (
            select o.ctid as place, o.user_id, o.offer_id, o.send_until <= $1 as is_late
              from outbox o
             where o.campaign_id = going.campaign_id and o.state = 1 and o.send_at <= $1
             order by o.send_at, o.outbox_id limit (select $2 / count(*) from going)
               for update skip locked) share
         limit $2
    ), judged as (
        select due.*, d.address, d.address_kind, d.platform, (v.body ->> 'ends_at')::timestamptz as offer_ends_at, case
                   when has_ended then 'campaign_ended'
                   when is_late then 'expired'
                   when u.user_id is null then 'person_gone'
                   when u.opted_out_at is not null then 'opted_out'
                   when not u.has_push_consent then 'no_push_consent'
                   when u.muted_until > $1 then 'muted'
                   when due.offer_id = any (u.vetoed_offer_ids) then 'vetoed'
                   when exists (select 1 from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                                 where s.offer_id = due.offer_id and s.until > $1) then 'snoozed'
                   when v.offer_id is null or (v.body ->> 'paused')::boolean or (v.body ->> 'starts_at')::timestamptz > $1
                        or (v.body ->> 'ends_at')::timestamptz <= $1 or not v.body -> 'channels' ? 'push' then 'offer_gone'
                   when d.address is null then 'no_address'
               end as stopped
          from due
          left join lateral (
            select user_id, opted_out_at, has_push_consent, muted_until, vetoed_offer_ids, snoozed_offer_ids, snoozed_until
              from users where users.user_id = due.user_id and merged_into is null limit 1) u on true
          left join offer_versions v on v.offer_id = due.offer_id and v.to_version is null
          left join lateral (
            select address, address_kind, platform from devices where devices.user_id = due.user_id and is_push_enabled
             order by last_seen_at desc, device_id limit 1) d on true
    )
    update outbox o
       set state = case when j.stopped is null then 2 when j.stopped = 'expired' then 5 when j.stopped = 'no_address' then 4 else 6 end,
           outcome = j.stopped, settled_at = case when j.stopped is not null then $1::timestamptz end, address = j.address,
           lease_until = case when j.stopped is null then $3::timestamptz end, fence = nextval('outbox_fence'),
           attempts = o.attempts + 1
      from judged j
     where o.ctid = j.place
    returning o.user_id, o.campaign_id, o.occurrence_at, o.outbox_id, least(o.expires_at, j.offer_ends_at), o.decision_id, o.offer_id, o.message,
              o.address, j.address_kind, o.fence, o.attempts, j.platform, j.stopped is null as is_going
"""


async def claim(connection: Any, now: datetime, rows_max: int, real_now: datetime) -> Claimed:
    """Takes ready rows and commits; the caller must not be in a transaction. The lease runs in real time.

    Fewer than `rows_max` may be taken although more are ready: each campaign gets its share. None are when none are left.
    """
    found = await connection.fetch(_CLAIM, now, rows_max, real_now + LEASE)
    going = [ReadyRow(Key(row[0], row[1], row[2]), *row[3:13]) for row in found if row["is_going"]]
    return Claimed(sorted(going, key=lambda row: row.outbox_id), len(found))
