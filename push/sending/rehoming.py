"""What is to be sent again belongs to whom its person has become: a merge leaves alone what is being sent."""

from collections.abc import Collection
from typing import Any, Final

from schema.ids import partition_of

# Waits for a merge that is under way, and keeps the next one from beginning before what is ready again can be seen.
_BECAME: Final = """
    select user_id, merged_into from users where user_id = any($1::bigint[]) order by user_id for key share
"""
# What both have on one occasion is sent once: the claim stops what stays behind.
_MOVE: Final = """
    update outbox o set user_id = $2, bucket = $3
     where o.user_id = $1 and o.state = 1
       and not exists (select 1 from outbox k where k.user_id = $2 and k.campaign_id = o.campaign_id
                          and k.occurrence_at = o.occurrence_at and k.channel = o.channel)
"""
_MOVE_DELIVERIES: Final = "update deliveries set user_id = $2 where user_id = $1 and state = 1"


async def follow(connection: Any, user_ids: Collection[int]) -> None:
    """Gives what is ready again, in the caller's transaction, to those whom its people were merged into meanwhile."""
    if not user_ids:
        return
    for user_id, became in await connection.fetch(_BECAME, sorted(set(user_ids))):
        if became is not None:
            await connection.execute(_MOVE, user_id, became, partition_of(became))
            await connection.execute(_MOVE_DELIVERIES, user_id, became)
