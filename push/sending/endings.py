"""Rows of the outbox that end by time: nobody sent them in theirs, or whoever was sending them is gone."""

from datetime import datetime
from typing import Any, Final

from push.outbox import Key, State
from push.retry import ATTEMPTS_MAX
from push.sending import rehoming

# What a person waits for is sent again, under the same tag: a second banner takes the place of the first. Everything else is not.
_REPEAT: Final = """
    update outbox o set state = 1, outcome = 'lease_expired', lease_until = null, send_at = $1, unknowns = o.unknowns + 1
      from campaigns c
     where o.state = 2 and o.lease_until < $2 and o.unknowns + 1 < $3 and o.send_until > $1
       and c.campaign_id = o.campaign_id and c.body ->> 'kind' = 'transactional'
    returning o.user_id
"""
_SWEEP: Final = """
    update outbox set state = 7, outcome = 'lease_expired', settled_at = $1, lease_until = null, unknowns = unknowns + 1
     where state = 2 and lease_until < $2
"""
# A place may be one of another day too: what lies there is looked at again.
_EXPIRE_PLANNED: Final = """
    update outbox set state = 5, outcome = 'expired', settled_at = $1
     where ctid = any (array(
        select late.ctid from campaigns_with_planned w cross join lateral (
          select o.ctid from outbox o
           where o.campaign_id = w.campaign_id and o.state = 0 and o.send_at <= $1 and o.send_until <= $1
           order by o.send_at limit $2 for update skip locked) late limit $2))
       and state = 0 and send_at <= $1 and send_until <= $1
"""
_EXPIRE_READY: Final = """
    update outbox set state = case when unknowns > 0 then 7 else 5 end, outcome = 'expired', settled_at = $1
     where ctid = any (array(
        select late.ctid from campaigns_with_ready w cross join lateral (
          select o.ctid from outbox o
           where o.campaign_id = w.campaign_id and o.state = 1 and o.send_until <= $1
           order by o.send_at limit $2 for update skip locked) late limit $2))
       and state = 1 and send_until <= $1
    returning user_id, campaign_id, occurrence_at, state
"""
_EXPIRE_MAX: Final = 10_000


async def sweep(connection: Any, now: datetime, real_now: datetime) -> int:
    """Rows whose lease has passed in real time, perhaps sent: what is transactional is ready again, the rest is unknown. How many they were.

    In the caller's transaction.
    """
    repeated = [row[0] for row in await connection.fetch(_REPEAT, now, real_now, ATTEMPTS_MAX)]
    await rehoming.follow(connection, repeated)
    ended = await connection.execute(_SWEEP, now, real_now)
    return len(repeated) + int(ended.rpartition(" ")[2])


async def expire(connection: Any, now: datetime) -> list[Key]:
    """Settles what can no longer be sent, also of paused campaigns; some thousands at a call. Gives those that were drawn, and never sent."""
    await connection.execute(_EXPIRE_PLANNED, now, _EXPIRE_MAX)
    ended = await connection.fetch(_EXPIRE_READY, now, _EXPIRE_MAX)
    return [Key(*row[:3]) for row in ended if row[3] == State.EXPIRED]
