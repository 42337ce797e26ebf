"""Promises are taken back from people who were never told of them: pushes that were stopped, or failed."""

from collections.abc import Sequence
from typing import Any, Final

from push.outbox import Key, State, bounds, key_columns
from schema.decision import Channel

# The locks are taken before anything changes: what others changed meanwhile is then looked at again, row by row. A reservation that another
# decision told of stays.
_RELEASE: Final = """
    with found as materialized (
        select r.user_id, r.reservation_id, r.taken_from, array_agg(e.decision_id) as ended
          from unnest($1::bigint[], $2::uuid[], $3::timestamptz[]) as k(user_id, campaign_id, occurrence_at)
          join outbox e using (user_id, campaign_id, occurrence_at)
          join reservations r on r.user_id = e.user_id and r.state = 0 and e.decision_id = any (r.held_by)
         where e.channel = $4 and e.occurrence_at between $5 and $6
         group by r.user_id, r.reservation_id
    ), locked as materialized (
        select holder from allowances where holder in (select unnest(taken_from) from found) order by holder for update
    ), freed as (
        update reservations r set held_by = array(select unnest(r.held_by) except select unnest(f.ended)),
               state = case when r.held_by <@ f.ended then 2 else 0 end
          from found f
         where r.user_id = f.user_id and r.reservation_id = f.reservation_id and r.state = 0 and (select count(*) from locked) > 0
        returning r.state, r.taken_from, r.discount_minor
    ), sums as (
        select holder, count(*) as reserved, sum(discount_minor) as reserved_minor
          from freed cross join unnest(taken_from) as holder where state = 2 group by holder
    )
    update allowances a set reserved = a.reserved - s.reserved, reserved_minor = a.reserved_minor - s.reserved_minor
      from sums s where a.holder = s.holder
"""


UNTOLD: Final = frozenset({State.FAILED, State.EXPIRED, State.WITHDRAWN})
"""What is unknown may have been sent: its promise holds until it runs out."""


async def release(connection: Any, pushes: Sequence[Key]) -> None:
    """Takes back what these pushes promised, unless the person was told of it otherwise. They were not sent, and never will be."""
    if pushes:
        await connection.execute(_RELEASE, *key_columns(pushes), int(Channel.PUSH), *bounds(pushes))
