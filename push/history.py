"""Pushes that were settled long ago: their rows go, and what they count for their campaign stays."""

from datetime import datetime, timedelta
from typing import Any, Final

KEPT_FOR: Final = timedelta(days=30)
ROWS_MAX: Final = 10_000

# One statement, hence one transaction: a row is counted in the one place or in the other.
_FOLD: Final = """
    with gone as (
        delete from outbox where ctid = any (array(
            select o.ctid from outbox o where o.settled_at < $1 order by o.settled_at limit $2 for update skip locked))
        returning campaign_id, state, case when state <> 3 then outcome end as outcome, decision_id
    )
    insert into outbox_counts (campaign_id, state, outcome, pushes, decisions)
    select campaign_id, state, outcome, count(*), count(decision_id) from gone group by 1, 2, 3
    on conflict (campaign_id, state, outcome) do update
       set pushes = outbox_counts.pushes + excluded.pushes, decisions = outbox_counts.decisions + excluded.decisions
"""


async def fold(connection: Any, now: datetime) -> None:
    """Turns pushes that were settled more than KEPT_FOR ago into counts; ROWS_MAX at a call."""
    await connection.execute(_FOLD, now - KEPT_FOR, ROWS_MAX)
