"""What there is to do at an instant, found out by one look instead of five."""

from datetime import datetime
from typing import Any, Final, NamedTuple

# Campaign by campaign: what a paused one holds back, or the stop of all sending, is neither work nor in the way. The order asks for the index.
_LOOK: Final = """
    select exists (select 1 from campaigns c where status = 'active' and next_occurrence_at is not null and plan_at <= $1
                      and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))),
           exists (select 1 from campaigns_with_planned join campaigns c using (campaign_id) cross join lateral (
                     select 1 from outbox o where o.campaign_id = c.campaign_id and o.state = 0 and o.send_at <= $1
                      order by o.send_at limit 1) due
                    where c.status <> 'paused'
                      and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))),
           exists (select 1 from campaigns_with_ready join campaigns c using (campaign_id) cross join lateral (
                     select 1 from outbox o where o.campaign_id = c.campaign_id and o.state = 1 and o.send_at <= $1
                      order by o.send_at limit 1) due
                    where c.status <> 'paused'
                      and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))),
           coalesce((select min(expires_at) from reservations where state = 0) <= $1, false),
           exists (select 1 from campaigns_with_deliveries)
"""


class Agenda(NamedTuple):
    """Whether an occurrence has to be planned, a planned push to be drawn, a drawn one to be sent, a promise to be taken back; and whether
    other channels may have something to send.
    """

    has_to_plan: bool
    has_to_draw: bool
    has_to_send: bool
    has_to_release: bool
    has_to_deliver: bool


async def look(connection: Any, now: datetime) -> Agenda:
    """What there is to do by `now`."""
    return Agenda(*await connection.fetchrow(_LOOK, now))
