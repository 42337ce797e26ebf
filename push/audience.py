"""Who may be reached by a campaign: people with consent and a live address, in blocks by user id."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from push.quiet_hours import Window, windows_in
from schema.campaign import Audience

STALE_AFTER: Final = timedelta(days=270)
"""FCM forgets an Android token after 270 days without a connection."""

# A person is active by what they did, not by what was sent to them: a device that reported itself, or the last visit, with which
# a packed rhythm begins (seconds since 1970, four bytes, the lowest first). user_state.updated_at would also move with a push.
_BLOCK: Final = """
    select u.user_id, coalesce(u.time_zone, (
               select d.time_zone from devices d where d.user_id = u.user_id and d.time_zone is not null
                order by d.last_seen_at desc limit 1)), s.rhythm, u.quiet_minutes
      from users u left join user_state s on s.user_id = u.user_id
     where u.user_id > $1 and u.merged_into is null and u.has_push_consent and u.opted_out_at is null
       and exists (select 1 from devices d
                    where d.user_id = u.user_id and d.is_push_enabled and d.last_seen_at >= $3)
       and ($2::timestamptz is null
            or exists (select 1 from devices d where d.user_id = u.user_id and d.last_seen_at >= $2)
            or case when length(s.rhythm) >= 4
                    then get_byte(s.rhythm, 0) + (get_byte(s.rhythm, 1) << 8) + (get_byte(s.rhythm, 2) << 16)
                         + (get_byte(s.rhythm, 3)::bigint << 24) >= extract(epoch from $2) end)
     order by u.user_id limit $4
"""
_ZONES: Final = """
    select time_zone from users where time_zone is not null union select time_zone from devices where time_zone is not null
"""


class Reachable(NamedTuple):
    """A person of the audience; the rhythm is packed and empty for who has never come, `quiet` are the person's own quiet hours."""

    user_id: int
    time_zone: str | None
    rhythm: bytes
    quiet: tuple[Window, ...] = ()


async def block(connection: Any, audience: Audience, now: datetime, after: int, people_max: int) -> Sequence[Reachable]:
    """The next people of the audience by user id, after the given one."""
    active_since = now - timedelta(days=audience.active_within_days) if audience.active_within_days else None
    rows = await connection.fetch(_BLOCK, after, active_since, now - STALE_AFTER, people_max)
    return [Reachable(row[0], row[1], row[2] or b"", windows_in(row[3])) for row in rows]


async def zones(connection: Any) -> frozenset[str]:
    """The names of all time zones that people or their devices said they are in."""
    return frozenset(row[0] for row in await connection.fetch(_ZONES))
