"""An audience before it is planned: how many people each of its rules leaves out, a sample of it, and single people by name."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from push.contact.quiet_hours import windows_in
from push.planning.audience import Reachable, asked, reach_of
from schema.campaign import StoredCampaign

_COUNTS: Final = """
    select left_out_by, count(*) from audience_of($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) group by 1
"""
# The same people each time: whether somebody is in the sample is a hash of their id.
_SAMPLE: Final = """
    select user_id, time_zone, rhythm, quiet_minutes
      from audience_of($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
     where hashint8(user_id) & 2147483647 < $14::bigint and left_out_by is null order by user_id
"""
_NAMED: Final = """
    select a.user_id, a.time_zone, a.rhythm, a.quiet_minutes, i.external_id, a.left_out_by
      from identities i
      join audience_of($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) a on a.user_id = i.user_id
     where i.kind = 0 and i.external_id = any ($14::text[])
"""
_NAMES: Final = "select user_id, external_id from users where user_id = any ($1::bigint[])"
_HASHES: Final = 2**31


class Named(NamedTuple):
    """Somebody who was asked for by name, and which rule leaves them out."""

    person: Reachable
    external_id: str
    left_out_by: str | None


async def counts(connection: Any, campaign: StoredCampaign, now: datetime) -> dict[str | None, int]:
    """How many people each rule leaves out, the first that does; None are those who are left. Reads everybody: a report."""
    return dict(await connection.fetch(_COUNTS, *_asked(campaign, now)))


async def sample(connection: Any, campaign: StoredCampaign, now: datetime, share: float) -> list[Reachable]:
    """A share (0 to 1) of a campaign's audience, by user id."""
    return [_reachable(row) for row in await connection.fetch(_SAMPLE, *_asked(campaign, now), int(share * _HASHES))]


async def named(connection: Any, campaign: StoredCampaign, now: datetime, user_ids: Sequence[str]) -> list[Named]:
    """Those of these people that there are."""
    rows = await connection.fetch(_NAMED, *_asked(campaign, now), list(user_ids)) if user_ids else []
    return [Named(_reachable(row), row["external_id"], row["left_out_by"]) for row in rows]


async def names(connection: Any, user_ids: Sequence[int]) -> dict[int, str]:
    """What the app calls them."""
    return dict(await connection.fetch(_NAMES, list(user_ids)))


def _asked(campaign: StoredCampaign, now: datetime) -> tuple[Any, ...]:
    return asked(campaign.campaign.audience, now, reach_of(campaign.campaign))


def _reachable(row: Any) -> Reachable:
    return Reachable(row[0], row[1], row[2] or b"", windows_in(row[3]))
