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
from schema.discreet import shown_without


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

    def __repr__(self) -> str:
        return shown_without(self, "address", "message")

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
                   d.expires_at
              from deliveries d
             where d.channel = $2 and d.campaign_id = going.campaign_id and d.endpoint = going.endpoint and d.state = 1 and d.send_at <= $1
             order by d.send_at, d.delivery_id limit (select $3 / count(*) from going)
               for update skip locked) share
         limit $3
    ), offers as materialized (
        select * from offer_terms where offer_id in (select unnest(offer_ids) from due)
    ), slots as (
        select due.*, one.slot, u.external_id, e.address, o.ends_at, o.tags, s.reason as stopped,
               array_remove(array_agg(case when s.reason is null then (one.slot - 1)::integer end) over whole, null) as told
          from due
          left join lateral (select * from person_terms where person_terms.user_id = due.user_id limit 1) u on true
          left join email_addresses e on $2 = 3 and e.user_id = due.user_id
         cross join unnest(due.offer_ids) with ordinality as one(offer_id, slot)
          left join offers o on o.offer_id = one.offer_id
         cross join lateral stopped_by(
            $2, $1, due.has_ended, due.expires_at, u::person_terms, o::offer_terms,
            case when one.slot = 1 then due.message -> 'data' else due.message -> 'slate' -> (one.slot - 1)::integer end ->> 'reservation_id',
            case when $2 = 3 then e.address else due.endpoint end) s
        window whole as (partition by due.delivery_id order by one.slot rows between unbounded preceding and unbounded following)
    )
    select place, user_id, delivery_id, outbox_id, campaign_id, decision_id, offer_ids, message, endpoint, external_id,
           least(expires_at, ends_at) as expires_at, expires_at as send_until, coalesce(address, '') as address, tags, stopped, told
      from slots
     where slot = 1
     order by delivery_id
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
