"""Who may be reached by a campaign, in blocks by user id. Who that is says one function of the database (0027_audience.sql, 0028_inbox.sql)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from push.quiet_hours import Window, windows_in
from schema.audience import Audience

STALE_AFTER: Final = timedelta(days=270)
"""FCM forgets an Android token after 270 days without a connection."""

_BLOCK: Final = """
    select user_id, time_zone, rhythm, quiet_minutes
      from audience_of($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
     where user_id > $13 and left_out_by is null order by user_id limit $14
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


def asked(audience: Audience, now: datetime, *, is_push_alone: bool = True) -> tuple[Any, ...]:
    """The twelve arguments of audience_of, in its order; None is a rule that is not asked."""
    return (
        now - STALE_AFTER if is_push_alone else None,
        audience.tags_any or None,
        audience.tags_all or None,
        audience.tags_none or None,
        audience.store_ids or None,
        audience.exclude_store_ids or None,
        audience.time_zones or None,
        _days_before(now, audience.active_within_days),
        _days_before(now, audience.inactive_for_days),
        _days_before(now, audience.new_within_days),
        audience.platforms or None,
        [language.lower() for language in audience.languages] or None,
    )


async def block(
    connection: Any, audience: Audience, now: datetime, after: int, people_max: int, *, is_push_alone: bool = True
) -> Sequence[Reachable]:
    """The next people of the audience by user id, after the given one; who cannot be pushed belongs to it if push is not alone."""
    rows = await connection.fetch(_BLOCK, *asked(audience, now, is_push_alone=is_push_alone), after, people_max)
    return [Reachable(row[0], row[1], row[2] or b"", windows_in(row[3])) for row in rows]


async def zones(connection: Any) -> frozenset[str]:
    """The names of all time zones that people or their devices said they are in."""
    return frozenset(row[0] for row in await connection.fetch(_ZONES))


def _days_before(now: datetime, days: int | None) -> datetime | None:
    return now - timedelta(days=days) if days else None
