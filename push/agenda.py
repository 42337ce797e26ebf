"""What there is to do at an instant, found out by one look instead of three."""

from datetime import datetime
from typing import Any, Final, NamedTuple

# An unpaused campaign is joined in, so that what a paused one holds back does not look like work again and again.
_LOOK: Final = """
    select exists (select 1 from campaigns where status = 'active' and next_occurrence_at is not null and plan_at <= $1),
           exists (select 1 from outbox o join campaigns c using (campaign_id)
                    where o.state = 0 and o.send_at <= $1 and c.status <> 'paused'),
           exists (select 1 from outbox o join campaigns c using (campaign_id)
                    where o.state = 1 and o.send_at <= $1 and c.status <> 'paused')
"""


class Agenda(NamedTuple):
    """Whether an occurrence has to be planned, a planned push to be drawn, a drawn one to be sent."""

    has_to_plan: bool
    has_to_draw: bool
    has_to_send: bool


async def look(connection: Any, now: datetime) -> Agenda:
    """What there is to do by `now`."""
    return Agenda(*await connection.fetchrow(_LOOK, now))
