"""After a restore: nobody knows what was sent since the backup was taken, so nothing that may have been is sent again."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from push import stop
from push.campaign import campaigns
from push.campaign.occurrences import LEAD, due_from, is_over, next_occurrence
from schema.campaign import StoredCampaign
from schema.sending import SendingSwitch

OUTCOME: Final = "restored"
"""Of rows that were settled here."""

# The moment went by: it was drawn, and perhaps sent, by a program whose database is gone.
_WITHDRAW: Final = """
    update outbox set state = 6, outcome = $2, settled_at = $1 where state = 0 and send_at <= $1
"""
# What was drawn when the backup was taken was sent soon after. Its promises hold until they run out: people may have been told.
_DOUBT: Final = """
    update outbox set state = 7, outcome = $2, settled_at = $1, lease_until = null, unknowns = unknowns + 1 where state in (1, 2)
"""
_DOUBT_DELIVERIES: Final = """
    update deliveries set state = 7, outcome = $2, settled_at = $1, lease_until = null where state in (1, 2)
"""
_WAITING: Final = """
    select c.campaign_id, c.next_occurrence_at
      from campaigns c
      left join occurrences o on o.campaign_id = c.campaign_id and o.occurrence_at = c.next_occurrence_at
     where c.status <> 'ended' and c.next_occurrence_at is not null and not coalesce(o.is_planned, false)
     order by c.external_id for update of c
"""


class PassedOver(NamedTuple):
    """An occurrence that began before the restore and was not planned when the backup was taken; nobody is planned for it any more."""

    campaign_id: str
    occurrence_at: str


class Restored(NamedTuple):
    """Pushes that were planned and are withdrawn, pushes and deliveries of which nobody knows whether they were sent, occurrences passed over."""

    withdrawn: int
    unknown: int
    deliveries_unknown: int
    passed_over: list[PassedOver]


async def settle(connection: Any, now: datetime, by: str, reason: str) -> Restored:
    """Stops sending until an operator lets it go on, and settles all that may have been sent before `now`. In the caller's transaction.

    Pushes whose moment is still to come stay: they wait for the stop to be lifted.
    """
    await stop.switch(connection, SendingSwitch(is_stopped=True, reason=reason), now, by)
    withdrawn = await connection.execute(_WITHDRAW, now, OUTCOME)
    unknown = await connection.execute(_DOUBT, now, OUTCOME)
    deliveries = await connection.execute(_DOUBT_DELIVERIES, now, OUTCOME)
    return Restored(_rows(withdrawn), _rows(unknown), _rows(deliveries), await _pass_over(connection, now))


def _rows(status: str) -> int:
    return int(status.rpartition(" ")[2])


async def _pass_over(connection: Any, now: datetime) -> list[PassedOver]:
    """Whoever planned such an occurrence after the backup drew other moments than would be drawn now: some people would be reached twice."""
    waiting = {row[0]: row[1].replace(tzinfo=None) for row in await connection.fetch(_WAITING)}
    found: list[PassedOver] = []
    for campaign_id, campaign in (await campaigns.by_ids(connection, waiting)).items():
        occurrence = waiting[campaign_id]
        if await _skip_begun(connection, campaign, occurrence, now):
            found.append(PassedOver(campaign.campaign.campaign_id, occurrence.isoformat()))
    return sorted(found)


async def _skip_begun(connection: Any, campaign: StoredCampaign, occurrence: datetime, now: datetime) -> bool:
    """Moves the campaign to its first occurrence that has begun nowhere on earth; whether that left out one that is not over."""
    following: datetime | None = occurrence
    is_left_out = False
    while following is not None and due_from(following) + LEAD <= now:
        begun = following
        is_left_out |= not is_over(campaign, begun, now)
        following = next_occurrence(campaign, begun)
        await campaigns.begin_occurrence(connection, campaign.id, begun)
        await campaigns.planned(connection, campaign.id, begun, following, due_from(following) if following else None)
    return is_left_out
