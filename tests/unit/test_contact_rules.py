"""The rule of contact as a function: caps, gaps, categories and quiet hours, whose clock they are on, and what counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from push.contact import contact_rules
from push.contact.contact_rules import CONTACTS_MAX, Contact, Judge, Person, contact_at, counted
from push.contact.quiet_hours import Window
from schema.campaign import StoredCampaign
from schema.contact_rules import LONGEST_S, Cap, ContactRules, Limits, QuietHours
from tests.integration.push_world import NOW, OFF, a_campaign

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DEFAULTS = ContactRules()


def person(*ago: timedelta, zone: str | None = "UTC", tags: tuple[str, ...] = ("coffee",), **own: Any) -> Person:
    """Somebody who was pushed so long before NOW."""
    given = {"quiet": (), "per_day_max": None, "per_week_max": None} | own
    return Person(zone, sent=[contact_at(NOW - one, "id", tags) for one in ago], **given)


def reason(rules: ContactRules, who: Person, now: datetime = NOW, campaign: StoredCampaign | None = None) -> str | None:
    return Judge(rules, now).of(campaign or a_campaign(), who).reason


def only(*caps: Cap, min_gap_s: int = 0) -> ContactRules:
    return ContactRules(quiet_hours=[], caps=list(caps), min_gap_s=min_gap_s)


def test_nothing_is_sent_at_night_more_than_once_a_day_or_thrice_a_week_by_default() -> None:
    assert reason(DEFAULTS, person()) is None
    assert reason(DEFAULTS, person(), NOW.replace(hour=21)) == "quiet_hours"
    assert reason(DEFAULTS, person(), NOW.replace(hour=7, minute=59)) == "quiet_hours"
    assert reason(DEFAULTS, person(), NOW.replace(hour=8)) is None
    assert reason(DEFAULTS, person(HOUR / 2)) == "cap_reached"
    assert reason(DEFAULTS, person(10 * HOUR)) is None  # yesterday, at eleven
    assert reason(DEFAULTS, person(2 * DAY, 3 * DAY, 6 * DAY)) == "cap_reached"
    assert reason(DEFAULTS, person(2 * DAY, 3 * DAY, 7 * DAY + SECOND)) is None
    late = datetime(2026, 3, 3, 8, tzinfo=UTC)
    just = Person("UTC", (), None, None, [contact_at(late - 9 * HOUR, "id", [])])
    assert reason(ContactRules(min_gap_s=10 * 3600), just, late) == "too_soon"


def test_a_gap_and_a_rolling_cap_end_to_the_millisecond() -> None:
    for rules, word in ((only(min_gap_s=3600), "too_soon"), (only(Cap(pushes_max=1, within_s=3600)), "cap_reached")):
        who = person(timedelta())
        assert reason(rules, who, NOW + HOUR) == word
        assert reason(rules, who, NOW + HOUR + SECOND / 1000) is None
        assert reason(rules, who, NOW - HOUR) == word, "a clock that was set back frees nobody"


def test_a_rolling_cap_holds_however_the_pushes_lie() -> None:
    rules = only(Cap(pushes_max=3, within_s=LONGEST_S))
    who = person()
    sent: list[datetime] = []
    for hour in range(0, 40 * 24, 7):
        at = NOW + hour * HOUR
        if reason(rules, who, at) is None:
            sent.append(at)
            who = who._replace(sent=counted(who.sent, contact_at(at, str(hour), [])))
    assert len(sent) > 12
    assert all(later - first > 7 * DAY for first, later in zip(sent, sent[3:], strict=False))


def test_a_cap_of_none_holds_always() -> None:
    assert reason(only(Cap(pushes_max=0, per="local_week")), person()) == "cap_reached"


@pytest.mark.parametrize(
    ("zone", "now", "earlier", "is_same_day", "is_same_week"),
    [
        ("America/New_York", "2026-11-01T23:30-05:00", "2026-11-01T00:30-04:00", True, True),  # a day of 25 hours
        ("America/New_York", "2026-11-02T00:10-05:00", "2026-11-01T23:50-05:00", False, False),  # a Monday begins
        ("America/New_York", "2026-11-03T00:10-05:00", "2026-11-02T00:00-05:00", False, True),
        ("Europe/Berlin", "2027-03-28T22:00+02:00", "2027-03-28T00:00+01:00", True, True),  # of 23
        ("Asia/Tokyo", "2026-03-02T23:00+00:00", "2026-03-02T14:00+00:00", False, True),
    ],
)
def test_calendar_caps_are_of_the_local_day_and_week(
    zone: str, now: str, earlier: str, is_same_day: bool, is_same_week: bool
) -> None:
    at, before = datetime.fromisoformat(now), datetime.fromisoformat(earlier)
    who = Person(zone, (), None, None, [contact_at(before, "id", [])])
    assert (reason(only(Cap(pushes_max=1, per="local_day")), who, at) is not None) is is_same_day
    assert (reason(only(Cap(pushes_max=1, per="local_week")), who, at) is not None) is is_same_week


def test_a_category_is_full_by_itself() -> None:
    rules = only(Cap(pushes_max=1, per="local_week", tag="ice"), Cap(pushes_max=2, within_s=3600, tag="coffee"))
    verdict = Judge(rules, NOW).of(a_campaign(), person(HOUR / 2, tags=("ice", "coffee")))
    assert (verdict.reason, verdict.full_tags) == (None, {"ice"})
    assert Judge(rules, NOW).of(a_campaign(), person(HOUR / 2, tags=("tea",))).full_tags == frozenset()


def test_a_campaign_can_only_be_stricter() -> None:
    lax = a_campaign(contact=Limits(caps=[Cap(pushes_max=50, per="local_day")], min_gap_s=1))
    strict = a_campaign(
        "s",
        contact=Limits(
            quiet_hours=[QuietHours(begins="08:30", ends="09:30")],
            caps=[Cap(pushes_max=2, within_s=LONGEST_S)],
            min_gap_s=3 * 86_400,
        ),
    )
    assert reason(DEFAULTS, person(HOUR / 2), campaign=lax) == "cap_reached"
    assert reason(DEFAULTS, person(), campaign=strict) == "quiet_hours"
    assert reason(DEFAULTS, person(2 * DAY), NOW + HOUR, strict) == "too_soon"
    assert reason(DEFAULTS, person(4 * DAY, 5 * DAY), NOW + HOUR, strict) == "cap_reached"
    assert reason(OFF, person(HOUR / 2), campaign=lax) is None


def test_a_persons_own_rules_come_on_top() -> None:
    nap = (Window(8 * 60 + 45, 9 * 60 + 15),)
    assert reason(OFF, person(quiet=nap)) == "quiet_hours"
    assert reason(OFF, person(quiet=nap), NOW + HOUR) is None
    assert reason(OFF, person(23 * HOUR, per_day_max=1)) == "cap_reached"
    assert reason(OFF, person(25 * HOUR, per_day_max=1)) is None
    assert reason(OFF, person(per_week_max=0)) == "cap_reached"
    assert reason(OFF, person(DAY, 6 * DAY, per_week_max=3)) is None


def test_what_is_transactional_is_held_back_by_quiet_hours_alone_and_what_is_urgent_by_none() -> None:
    receipt = a_campaign("receipt", kind="transactional")
    recall = a_campaign("recall", kind="transactional", is_urgent=True)
    full = person(SECOND, per_week_max=0)
    assert reason(DEFAULTS, full, campaign=receipt) is None
    assert reason(DEFAULTS, full, NOW.replace(hour=23), receipt) == "quiet_hours"
    assert reason(DEFAULTS, full, NOW.replace(hour=23), recall) is None


@pytest.mark.parametrize("zone", [None, "Mars/Olympus"])
def test_without_a_zone_the_campaigns_counts_with_wider_quiet_hours(zone: str | None) -> None:
    campaign = a_campaign(default_time_zone="America/New_York")
    for local_hour, word in ((9, "quiet_hours"), (10, None), (18, None), (19, "quiet_hours")):
        at = datetime(2026, 3, 2, 5, tzinfo=UTC) + local_hour * HOUR
        assert reason(DEFAULTS, person(zone=zone), at, campaign) == word, local_hour
    strange = a_campaign(default_time_zone="Mars/Olympus")
    assert reason(DEFAULTS, person(zone=zone), NOW, strange) == "quiet_hours", "ten o'clock has not struck in UTC"


def test_the_whole_reach_of_a_claim_must_be_free_of_quiet_hours() -> None:
    evening = NOW.replace(hour=20, minute=59, second=30)
    assert Judge(DEFAULTS, evening).of(a_campaign(), person()).reason is None
    assert Judge(DEFAULTS, evening, timedelta(minutes=1)).of(a_campaign(), person()).reason == "quiet_hours"


def test_old_contacts_are_forgotten_and_very_many_are_not_kept() -> None:
    old = [contact_at(NOW - days * DAY, str(days), []) for days in (9, 7, 1)]
    assert [one.outbox_id for one in counted(old, contact_at(NOW, "now", []))] == ["7", "1", "now"]
    many = [Contact(contact_at(NOW, "", []).at_ms - n, str(n), []) for n in range(300)]
    kept = counted(many, contact_at(NOW, "now", []))
    assert len(kept) == CONTACTS_MAX
    assert {one.outbox_id for one in kept} == {"now", *(str(n) for n in range(CONTACTS_MAX - 1))}
    assert timedelta(seconds=LONGEST_S) + DAY / 2 < contact_rules.KEPT_FOR
