"""Deliveries: what other channels than push and inbox have to send. Ready -> sending (leased, committed before the first byte) -> final."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from push.outbox import State
from push.sending import rehoming
from schema.decision import Channel

KEPT_FOR: Final = timedelta(days=30)
ROWS_MAX: Final = 10_000

_PUT: Final = """
    insert into deliveries (user_id, delivery_id, outbox_id, campaign_id, channel, endpoint, decision_id, offer_ids, message, state, send_at,
                            expires_at)
    select t.user_id, t.delivery_id, t.outbox_id, t.campaign_id, t.channel, t.endpoint, t.decision_id,
           t.offer_ids::integer[], t.message, 1, $11, t.expires_at
      from unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::smallint[], $6::text[], $7::uuid[], $8::text[], $9::jsonb[],
                  $10::timestamptz[])
           as t(user_id, delivery_id, outbox_id, campaign_id, channel, endpoint, decision_id, offer_ids, message, expires_at)
    on conflict do nothing
"""
_SETTLE: Final = """
    update deliveries d set state = t.state, outcome = t.outcome, settled_at = case when t.retry_at is null then $1::timestamptz end,
           lease_until = null, send_at = coalesce(t.retry_at, d.send_at)
      from unnest($2::bigint[], $3::uuid[], $4::bigint[], $5::smallint[], $6::text[], $7::timestamptz[])
           as t(user_id, delivery_id, fence, state, outcome, retry_at)
     where d.user_id = t.user_id and d.delivery_id = t.delivery_id and d.state = 2 and d.fence = t.fence
    returning d.fence
"""
# Whose lease has passed was perhaps sent. A webhook knows it again, and what a person waits for is better sent twice than never.
_SWEEP: Final = """
    update deliveries d
       set state = case when is_again then 1 else 7 end, settled_at = case when not is_again then $1::timestamptz end, lease_until = null,
           outcome = 'lease_expired'
      from (select ctid, channel = 2 or exists (select 1 from campaigns c where c.campaign_id = l.campaign_id
                                                   and c.body ->> 'kind' = 'transactional') as is_again
              from deliveries l where state = 2 and lease_until < $2) late
     where d.ctid = late.ctid and d.state = 2 and d.lease_until < $2
    returning d.user_id, is_again
"""
_EXPIRE: Final = """
    update deliveries set state = 5, outcome = coalesce(outcome, 'expired'), settled_at = $1
     where ctid = any (array(
        select ctid from deliveries where state = 1 and expires_at <= $1 order by expires_at limit $2 for update skip locked))
"""
_FOLD: Final = """
    with gone as (
        delete from deliveries where ctid = any (array(
            select d.ctid from deliveries d where d.settled_at < $1 order by d.settled_at limit $2 for update skip locked))
        returning campaign_id, channel, state, case when state <> 3 then outcome end as outcome
    )
    insert into delivery_counts (campaign_id, channel, state, outcome, deliveries)
    select campaign_id, channel, state, outcome, count(*) from gone group by 1, 2, 3, 4
    on conflict (campaign_id, channel, state, outcome) do update set deliveries = delivery_counts.deliveries + excluded.deliveries
"""
_OUTCOMES: Final = """
    with counted as (
        select channel, state, count(*) as deliveries from deliveries where campaign_id = $1 group by 1, 2
        union all
        select channel, state, deliveries from delivery_counts where campaign_id = $1
    )
    select channel, state, sum(deliveries)::bigint from counted group by 1, 2 order by 1, 2
"""
_MOVE: Final = "update deliveries set user_id = $1 where user_id = $2 and state <> 2"


class New(NamedTuple):
    """A delivery to be made; `offer_ids` by slot."""

    user_id: int
    delivery_id: UUID
    outbox_id: UUID
    campaign_id: UUID
    channel: Channel
    endpoint: str
    decision_id: UUID
    offer_ids: list[int]
    message: dict[str, Any]
    expires_at: datetime


_OFFERS: Final = New._fields.index("offer_ids")


class Settled(NamedTuple):
    """What became of a delivery that was claimed under `fence`; with retry_at it is ready again from then on."""

    user_id: int
    delivery_id: UUID
    fence: int
    state: State
    outcome: str
    retry_at: datetime | None = None


async def put(connection: Any, new: Sequence[New], now: datetime) -> None:
    """Makes deliveries, ready from now on; one that exists stays as it is."""
    if new:
        # As text: of lists asyncpg would make arrays of arrays.
        columns = [list(column) for column in zip(*new, strict=True)]
        columns[_OFFERS] = [f"{{{','.join(map(str, one.offer_ids))}}}" for one in new]
        await connection.execute(_PUT, *columns, now)


async def settle(connection: Any, settled: Sequence[Settled], now: datetime) -> set[int]:
    """Notes outcomes of what is being sent; gives the fences of those that were still the caller's to settle."""
    columns = [list(column) for column in zip(*settled, strict=True)]
    return {row[0] for row in await connection.fetch(_SETTLE, now, *columns)}


async def sweep(connection: Any, now: datetime, real_now: datetime) -> None:
    """Settles, or makes ready again, what a dispatcher left behind when it died: its lease has passed in real time.

    In the caller's transaction.
    """
    swept = await connection.fetch(_SWEEP, now, real_now)
    await rehoming.follow(connection, [user_id for user_id, is_again in swept if is_again])


async def expire(connection: Any, now: datetime) -> None:
    """Settles what can no longer be sent; some thousands at a call."""
    await connection.execute(_EXPIRE, now, ROWS_MAX)


async def fold(connection: Any, now: datetime) -> None:
    """Turns what was settled more than KEPT_FOR ago into counts; ROWS_MAX at a call."""
    await connection.execute(_FOLD, now - KEPT_FOR, ROWS_MAX)


async def outcomes(connection: Any, campaign_id: UUID) -> dict[str, dict[str, int]]:
    """How the deliveries of a campaign stand, by channel and state; empty when it has none."""
    found: dict[str, dict[str, int]] = {}
    for channel, state, count in await connection.fetch(_OUTCOMES, campaign_id):
        found.setdefault(Channel(channel).name.lower(), {})[State(state).name.lower()] = count
    return found


async def move(connection: Any, kept: int, lost: int) -> None:
    """Gives a user's deliveries to the one they are merged into; what is being sent stays where its lease says."""
    await connection.execute(_MOVE, kept, lost)
