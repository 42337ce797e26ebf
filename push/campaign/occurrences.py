"""The occurrences of a campaign on local clocks: which comes next, which is over, and when one has to be planned."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from push.campaign.local_week import to_utc
from schema.campaign import EARLIEST_ZONE, WEEK, StoredCampaign

LEAD: Final = timedelta(hours=1)
"""Planning is done this long before the window opens for the first of the people there are."""

LATEST_ZONE: Final = timedelta(hours=12)
"""A local time ends last in the zone 12 hours behind UTC."""


def first_occurrence(campaign: StoredCampaign, now: datetime) -> datetime | None:
    """The naive local start of the first occurrence whose window is not over everywhere; None when all are, or events set it off."""
    if campaign.campaign.trigger is not None:
        return None
    occurrence = campaign.campaign.starts_at
    if campaign.campaign.recurrence == "weekly":
        weeks_over = (now - LATEST_ZONE - campaign.campaign.starts_at.replace(tzinfo=UTC)) // WEEK
        occurrence += max(weeks_over, 0) * WEEK
    is_left = occurrence < campaign.campaign.ends_at and not is_over(campaign, occurrence, now)
    return occurrence if is_left else None


def next_occurrence(campaign: StoredCampaign, after: datetime) -> datetime | None:
    """The naive local start of the occurrence after `after`; None when there is none left."""
    following = after + WEEK
    return following if campaign.campaign.recurrence == "weekly" and following < campaign.campaign.ends_at else None


def is_over(campaign: StoredCampaign, occurrence: datetime, now: datetime) -> bool:
    """Whether no moment of the occurrence's window lies ahead in any time zone."""
    return min(occurrence + WEEK, campaign.campaign.ends_at).replace(tzinfo=UTC) + LATEST_ZONE <= now


def due_from(occurrence: datetime) -> datetime:
    """Not before this an occurrence has to be planned, wherever people live."""
    return occurrence.replace(tzinfo=UTC) - EARLIEST_ZONE - LEAD


def plan_at(occurrence: datetime, zones: Iterable[str]) -> datetime:
    """When an occurrence has to be planned, so that it is ready where its window opens first.

    As late as can be: a moment is drawn better by who knows yesterday's visits.

    Args:
        occurrence: naive local start of the window.
        zones: IANA names of the zones people live in; unknown names are passed over. Without any the whole earth counts.
    """
    opens = [begin for zone in zones if (begin := _begin(occurrence, zone)) is not None]
    return min(opens) - LEAD if opens else due_from(occurrence)


def _begin(occurrence: datetime, zone: str) -> datetime | None:
    try:
        return to_utc(occurrence, zone)
    except ValueError:
        return None
