"""One decision, many channels: what was drawn for a person is put where their other channels find it, in the transaction of the draw."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from push.channels import deliveries
from push.channels.deliveries import New
from push.channels.mail import addresses
from push.channels.webhooks import endpoints
from push.decider import Draft, Slot
from schema.campaign import StoredCampaign
from schema.decision import Channel
from schema.ids import instant_of, stable_entropy, uuid7

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
# Other channels tell of it: a push that fails does not take the promise back.
_KEEP_PROMISES: Final = """
    update reservations r set held_by = r.held_by || $3::uuid
      from unnest($1::bigint[], $2::uuid[]) as t(user_id, decision_id)
     where r.user_id = t.user_id and r.state = 0 and t.decision_id = any (r.held_by) and not $3::uuid = any (r.held_by)
"""
_IN_APP: Final = UUID(int=0)
"""Holds a reservation until it runs out, whatever becomes of a push (service.store.reservations)."""


class Told(NamedTuple):
    """What was drawn for a person by a campaign with other channels than push, and until when it lives."""

    campaign: StoredCampaign
    user_id: int
    outbox_id: UUID
    expires_at: datetime
    decision_id: UUID
    draft: Draft
    slate: tuple[Slot, ...] = ()


async def tell(connection: Any, told: Sequence[Told], now: datetime) -> None:
    """Puts each where its campaign's channels find it; the caller's transaction holds the people against a merge."""
    for_inbox = [one for one in told if "inbox" in one.campaign.campaign.channels]
    if for_inbox:
        await _to_inbox(connection, for_inbox, now)
    for_webhooks = [one for one in told if "webhook" in one.campaign.campaign.channels]
    if for_webhooks:
        known = await endpoints.names(connection)
        await deliveries.put(connection, [new for one in for_webhooks for new in _to_webhooks(one, known)], now)
    for_email = [one for one in told if one.slate]
    if for_email:
        reachable = await addresses.reachable(connection, {one.user_id for one in for_email})
        await deliveries.put(connection, [_to_email(one) for one in for_email if one.user_id in reachable], now)
    promised = [one for one in told if _is_promised(one)]
    if promised:
        people, decisions = [one.user_id for one in promised], [one.decision_id for one in promised]
        await connection.execute(_KEEP_PROMISES, people, decisions, _IN_APP)


async def _to_inbox(connection: Any, told: Sequence[Told], now: datetime) -> None:
    rows = [
        (one.user_id, one.campaign.id, one.decision_id, one.draft.offer_id, _is_promised(one), one.expires_at)
        for one in told
    ]
    await connection.execute(_TO_INBOX, *map(list, zip(*rows, strict=True)), now)


def _to_webhooks(told: Told, known: Sequence[str]) -> list[New]:
    """One for each endpoint that the campaign names, or for all."""
    named = told.campaign.campaign.webhooks
    return [_delivery(told, Channel.WEBHOOK, name) for name in known if not named or name in named]


def _to_email(told: Told) -> New:
    new = _delivery(told, Channel.EMAIL, "")
    slate = [
        msgspec.to_builtins(slot.card) | {"reservation_id": slot.reservation_id and str(slot.reservation_id)}
        for slot in told.slate
    ]
    return new._replace(offer_ids=[slot.offer_id for slot in told.slate], message=new.message | {"slate": slate})


def _delivery(told: Told, channel: Channel, endpoint: str) -> New:
    draft = told.draft
    entropy = stable_entropy(told.outbox_id.bytes, bytes([channel]), endpoint.encode())
    return New(
        user_id=told.user_id,
        delivery_id=uuid7(instant_of(told.decision_id), entropy),
        outbox_id=told.outbox_id,
        campaign_id=told.campaign.id,
        channel=channel,
        endpoint=endpoint,
        decision_id=told.decision_id,
        offer_ids=[draft.offer_id],
        message={"title": draft.title, "body": draft.body, "image_url": draft.image_url, "data": draft.data},
        expires_at=told.expires_at,
    )


def _is_promised(told: Told) -> bool:
    return "reservation_id" in told.draft.data
