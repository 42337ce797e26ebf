"""When occurrences begin, end, follow each other and have to be planned."""

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

from push.campaign.occurrences import due_from, first_occurrence, is_over, next_occurrence, plan_at
from tests.integration.push_world import HOUR, STARTS_AT, a_campaign

WEEK = timedelta(weeks=1)


def test_occurrences_come_weekly_until_the_end() -> None:
    weekly = a_campaign(recurrence="weekly", ends_at=STARTS_AT + 2 * WEEK + HOUR)
    assert next_occurrence(weekly, STARTS_AT) == STARTS_AT + WEEK
    assert next_occurrence(weekly, STARTS_AT + WEEK) == STARTS_AT + 2 * WEEK
    assert next_occurrence(weekly, STARTS_AT + 2 * WEEK) is None
    assert next_occurrence(a_campaign(), STARTS_AT) is None


def test_planning_is_due_an_hour_before_the_window_opens_for_the_first_person() -> None:
    zones = ["America/Los_Angeles", "America/New_York", "Nowhere/Atlantis"]
    assert plan_at(STARTS_AT, zones) == STARTS_AT.replace(tzinfo=ZoneInfo("America/New_York")) - HOUR
    begins_first = STARTS_AT.replace(tzinfo=ZoneInfo("Pacific/Kiritimati"))
    assert (
        plan_at(STARTS_AT, [])
        == plan_at(STARTS_AT, ["Pacific/Kiritimati"])
        == due_from(STARTS_AT)
        == begins_first - HOUR
    )


def test_a_new_campaign_does_not_plan_what_is_long_over() -> None:
    weekly = a_campaign(recurrence="weekly", ends_at=STARTS_AT + 4 * WEEK)
    at = STARTS_AT.replace(tzinfo=UTC)
    assert first_occurrence(weekly, at - 9 * WEEK) == STARTS_AT
    assert first_occurrence(weekly, at + WEEK + 11 * HOUR) == STARTS_AT
    assert first_occurrence(weekly, at + WEEK + 12 * HOUR) == STARTS_AT + WEEK
    assert first_occurrence(weekly, at + 5 * WEEK) is None
    assert first_occurrence(a_campaign(), at + 8 * timedelta(days=1)) is None
    assert not is_over(weekly, STARTS_AT, at + WEEK + 11 * HOUR)
    assert is_over(weekly, STARTS_AT, at + WEEK + 12 * HOUR)
