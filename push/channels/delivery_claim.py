"""Taking deliveries for sending, and stopping in the same transaction those that must not leave any more, or not yet, as push/sending/claim.py does."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from push import stop
from push.contact import contact_rules, contacts
from push.contact.contact_rules import Judge
from push.outbox import State
from push.sending.claim import LEASE, Counting, Judged, Known
from schema.campaign import StoredCampaign
from schema.decision import Channel


class Delivery(NamedTuple):
    """A delivery on its way out; of its offers those in the slots of `told` are told. `was_counted` says that its contact had been counted before this claim."""

    user_id: int
    delivery_id: UUID
    outbox_id: UUID
    campaign: StoredCampaign
    decision_id: UUID
    offer_ids: list[int]
    told: list[int]
    message: dict[str, Any]
    endpoint: str
    address: str
    known_as: str
    expires_at: datetime
    fence: int
    attempts: int
    was_counted: bool

    @property
    def is_counted_alone(self) -> bool:
        """Whether nothing else of this decision, and no attempt before this one, has been counted as the same contact."""
        return not self.was_counted and "push" not in self.campaign.campaign.channels


class Claimed(NamedTuple):
    """`rows` are to be sent; `taken` also counts those that were stopped, or have to wait."""

    rows: list[Delivery]
    taken: int


# As push.sending.claim takes its own: campaign by campaign, and endpoint by endpoint, so that what one of them holds back is never walked. What was
# said or changed before this began stops the delivery.
_TAKE: Final = """
    with going as materialized (
        select c.campaign_id, c.status = 'ended' as has_ended, place.endpoint
          from campaigns_with_deliveries w join campaigns c using (campaign_id)
         cross join (select '' as endpoint where $2::smallint <> 2
                      union all
                     select webhook_id from webhooks where $2::smallint = 2 and not is_paused and (rests_until is null or rests_until <= $1)) place
         cross join lateral (
            select 1 from deliveries d
             where d.channel = $2 and d.campaign_id = c.campaign_id and d.endpoint = place.endpoint and d.state = 1 and d.send_at <= $1
             order by d.send_at limit 1) due
         where w.channel = $2 and c.status <> 'paused'
           and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional')) limit $3
    ), due as materialized (
        select share.*, going.has_ended
          from going cross join lateral (
            select d.ctid as place, d.user_id, d.delivery_id, d.outbox_id, d.campaign_id, d.decision_id, d.offer_ids, d.message, d.endpoint,
                   d.expires_at, d.offer_ids[1] as offer_id
              from deliveries d
             where d.channel = $2 and d.campaign_id = going.campaign_id and d.endpoint = going.endpoint and d.state = 1 and d.send_at <= $1
             order by d.send_at, d.delivery_id limit (select $3 / count(*) from going)
               for update skip locked) share
         limit $3
    )
    select due.place, due.user_id, due.delivery_id, due.outbox_id, due.campaign_id, due.decision_id, due.offer_ids, due.message, due.endpoint,
           least(due.expires_at, (v.body ->> 'ends_at')::timestamptz) as expires_at, due.expires_at as send_until,
           coalesce(e.address, '') as address, u.external_id, told.slots as told,
           array(select jsonb_array_elements_text(v.body -> 'tags')) as tags,
           case
               when has_ended then 'campaign_ended'
               when due.expires_at <= $1 then 'expired'
               when u.user_id is null then 'person_gone'
               when u.opted_out_at is not null then 'opted_out'
               when u.muted_until > $1 then 'muted'
               when $2 = 3 and not coalesce(u.has_email_consent, false) then 'no_email_consent'
               when $2 = 3 and e.address is null then 'no_address'
               when due.offer_id = any (u.vetoed_offer_ids) then 'vetoed'
               when exists (select 1 from unnest(u.snoozed_offer_ids, u.snoozed_until) as s(offer_id, until)
                             where s.offer_id = due.offer_id and s.until > $1) then 'snoozed'
               when (v.body ->> 'ends_at')::timestamptz <= $1 then 'offer_ended'
               when v.offer_id is null or (v.body ->> 'paused')::boolean or (v.body ->> 'starts_at')::timestamptz > $1
                    or not v.body -> 'channels' ? 'push' then 'offer_gone'
               when v.body -> 'exclude_store_ids' ? coalesce(u.store_id, '')
                    or (jsonb_array_length(v.body -> 'store_ids') > 0 and not v.body -> 'store_ids' ? coalesce(u.store_id, ''))
                    then 'wrong_store'
               when due.message -> 'data' ? 'reservation_id' and r.user_id is null then 'not_reserved'
           end as stopped
      from due
      left join lateral (
        select user_id, external_id, has_email_consent, opted_out_at, muted_until, vetoed_offer_ids, snoozed_offer_ids, snoozed_until,
               traits ->> 'store_id' as store_id
          from users where users.user_id = due.user_id and merged_into is null limit 1) u on true
      left join offer_versions v on v.offer_id = due.offer_id and v.to_version is null
      left join lateral (
        select user_id from reservations
         where due.message -> 'data' ? 'reservation_id'
           and reservations.user_id = due.user_id and offer_id = due.offer_id and state = 0 and reservations.expires_at > $1
         limit 1) r on true
      left join email_addresses e on $2 = 3 and e.user_id = due.user_id
      cross join lateral ( -- of a digest the slots that may still be told; the first is judged above
        select array(
            select (o.slot - 1)::integer
              from unnest(due.offer_ids) with ordinality as o(offer_id, slot)
              left join offer_versions s on s.offer_id = o.offer_id and s.to_version is null
             where o.slot = 1
                or s.offer_id is not null and not (s.body ->> 'paused')::boolean and s.body -> 'channels' ? 'push'
                   and coalesce((s.body ->> 'starts_at')::timestamptz <= $1, true) and coalesce((s.body ->> 'ends_at')::timestamptz > $1, true)
                   and not s.body -> 'exclude_store_ids' ? coalesce(u.store_id, '')
                   and (jsonb_array_length(s.body -> 'store_ids') = 0 or s.body -> 'store_ids' ? coalesce(u.store_id, ''))
                   and not o.offer_id = any (u.vetoed_offer_ids)
                   and not exists (select 1 from unnest(u.snoozed_offer_ids, u.snoozed_until) as z(offer_id, until)
                                    where z.offer_id = o.offer_id and z.until > $1)
                   and (due.message -> 'slate' -> (o.slot - 1)::integer ->> 'reservation_id' is null
                        or exists (select 1 from reservations p where p.user_id = due.user_id and p.offer_id = o.offer_id and p.state = 0
                                      and p.expires_at > $1))
             order by o.slot) as slots) told
     order by due.delivery_id
"""
_MARK: Final = """
    update deliveries d
       set state = t.state, outcome = t.outcome, settled_at = case when t.state > 2 then $1::timestamptz end,
           send_at = coalesce(t.wait_until, d.send_at), lease_until = case when t.state = 2 then $2::timestamptz end,
           fence = case when t.state = 2 then nextval('outbox_fence') end, attempts = d.attempts + (t.state = 2)::integer
      from unnest($3::tid[], $4::smallint[], $5::text[], $6::timestamptz[]) as t(place, state, outcome, wait_until)
     where d.ctid = t.place
    returning d.delivery_id, d.fence, d.attempts
"""


async def claim(
    connection: Any, channel: Channel, now: datetime, rows_max: int, real_now: datetime, known: Known
) -> Claimed:
    """Takes ready deliveries and commits, unless sending is stopped; the caller must not be in a transaction. The lease runs in real time.

    A decision is one contact, however many channels tell of it: who was counted for the push of it is not counted again.
    """
    async with connection.transaction():
        await stop.hold(connection)
        taken = await connection.fetch(_TAKE, now, int(channel), rows_max)
        if not taken:
            return Claimed([], 0)
        terms = await known.campaigns.of(connection, {row["campaign_id"] for row in taken})
        judged = await _judge(connection, taken, terms, now, known)
        columns = [
            [row["place"] for row in taken],
            [one.state for one in judged],
            [one.outcome for one in judged],
            [one.wait_until for one in judged],
        ]
        marked = await connection.fetch(_MARK, now, real_now + LEASE, *columns)
    claims = {row["delivery_id"]: row for row in marked}
    going = [
        _ready(row, claims[row["delivery_id"]], terms[row["campaign_id"]], one)
        for row, one in zip(taken, judged, strict=True)
        if one.state is State.SENDING
    ]
    return Claimed(going, len(taken))


async def _judge(
    connection: Any, taken: Sequence[Any], terms: dict[UUID, StoredCampaign], now: datetime, known: Known
) -> list[Judged]:
    open_rows = [row for row in taken if row["stopped"] is None]
    await contacts.hold(
        connection, [row["user_id"] for row in open_rows if contact_rules.is_counted(terms[row["campaign_id"]])]
    )
    people, version = await contacts.people(connection, {row["user_id"] for row in open_rows})
    rules = await known.rules.of_version(connection, version)
    counting = Counting(Judge(rules, now, reach=LEASE), people, now)
    judged = [counting.judged(row, terms[row["campaign_id"]]) for row in taken]
    await contacts.write(connection, counting.changed)
    return judged


def _ready(row: Any, claimed: Any, campaign: StoredCampaign, judged: Judged) -> Delivery:
    return Delivery(
        user_id=row["user_id"],
        delivery_id=row["delivery_id"],
        outbox_id=row["outbox_id"],
        campaign=campaign,
        decision_id=row["decision_id"],
        offer_ids=row["offer_ids"],
        told=row["told"],
        message=row["message"],
        endpoint=row["endpoint"],
        address=row["address"],
        known_as=row["external_id"],
        expires_at=row["expires_at"],
        fence=claimed["fence"],
        attempts=claimed["attempts"],
        was_counted=judged.was_counted,
    )
