"""Which events set a campaign off, and when the push they bring may leave."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from push.contact.quiet_hours import Window
from push.planning.audience import Reachable
from push.triggers import EVENT_AGE_MAX, Armed, Happening, Triggered, fires, planned
from schema.contact_rules import ContactRules
from schema.event import EventType
from schema.trigger import Trigger
from tests.integration.push_world import HOUR, NOW, OFF, SEED, STARTS_AT, a_campaign

NIGHT = ContactRules(caps=[], min_gap_s=0)  # quiet from 21:00 to 08:00, the default
BERLIN = "Europe/Berlin"


def armed(offer_ids: tuple[int, ...] = (), trigger: dict[str, Any] | None = None, **changes: Any) -> Armed:
    given = msgspec.convert({"event_type": "left_store"} | (trigger or {}), Trigger)
    return Armed(a_campaign(trigger=given, **changes), given, frozenset(offer_ids))


def event(
    at: datetime = NOW, told: datetime | None = None, offer_id: int | None = None, **properties: Any
) -> Happening:
    text = msgspec.json.encode(properties)
    return Happening(7, EventType.LEFT_STORE, at, told or at, offer_id, text)


@pytest.mark.parametrize(
    ("condition", "properties", "is_met"),
    [
        ({}, {"p": 0}, True),
        ({}, {"p": None}, False),
        ({}, {"q": 1}, False),
        ({"is_one_of": ["a", "b"]}, {"p": "b"}, True),
        ({"is_one_of": ["a", "b"]}, {"p": ["c", "b"]}, True),
        ({"is_one_of": ["a"]}, {"p": ["c"]}, False),
        ({"is_one_of": ["a"]}, {"p": {"a": 1}}, False),
        ({"is_one_of": [5]}, {"p": 5}, True),
        ({"is_one_of": [1]}, {"p": True}, False),
        ({"is_one_of": [True]}, {"p": 1}, False),
        ({"is_one_of": [True]}, {"p": True}, True),
        ({"at_least": 5}, {"p": 5}, True),
        ({"at_least": 5}, {"p": 4.99}, False),
        ({"at_most": 5}, {"p": 5}, True),
        ({"at_most": 5}, {"p": 5.01}, False),
        ({"at_least": 0}, {"p": "7"}, False),
        ({"at_least": 0}, {"p": True}, False),
        ({"at_least": 1, "is_one_of": [2, 0]}, {"p": 0}, False),
    ],
)
def test_a_condition(condition: dict[str, Any], properties: dict[str, Any], is_met: bool) -> None:
    trigger = {"conditions": [{"property": "p"} | condition]}
    assert fires(armed(trigger=trigger), event(**properties)) is is_met


def test_all_conditions_must_hold() -> None:
    one = armed(trigger={"conditions": [{"property": "p"}, {"property": "q", "at_least": 2}]})
    assert fires(one, event(p=1, q=2))
    assert not fires(one, event(p=1, q=1))
    assert not fires(one, event(q=2))


def test_what_the_event_must_be_about() -> None:
    assert fires(armed(), event())
    about_any = armed(trigger={"is_about_offer": True})
    assert fires(about_any, event(offer_id=3))
    assert not fires(about_any, event())
    about_some = armed((3,), {"offers": ["coffee"]})
    assert fires(about_some, event(offer_id=3))
    assert not fires(about_some, event(offer_id=4))
    assert not fires(about_some, event())
    assert not fires(armed((), {"offers": ["unknown-yet"]}), event(offer_id=4))


def test_what_is_told_late_sets_off_nothing() -> None:
    assert fires(armed(), event(NOW, NOW + EVENT_AGE_MAX))
    assert not fires(armed(), event(NOW, NOW + EVENT_AGE_MAX + timedelta(seconds=1)))


def plan(one: Armed, happening: Happening, rules: ContactRules = OFF, **person: Any) -> Triggered | None:
    return planned(one, happening, Reachable(**{"user_id": 7, "time_zone": "UTC", "rhythm": b""} | person), SEED, rules)


def surely(one: Armed, happening: Happening, rules: ContactRules = OFF, **person: Any) -> Triggered:
    row = plan(one, happening, rules, **person)
    assert row is not None
    return row


def test_the_moment_is_now_or_so_long_after_the_event() -> None:
    told = NOW + timedelta(seconds=90)
    row = surely(armed(spread_s=3600, ttl_s=600), event(NOW, told))
    assert (row.send_at, row.occurrence_at, row.expires_at) == (told, told, told + timedelta(seconds=600))
    later = surely(armed(trigger={"delay_s": 1800, "cooldown_s": 60}), event(NOW, told))
    assert later.send_at == NOW + timedelta(seconds=1800)
    assert later.rests_until == told + timedelta(seconds=60)
    assert row.outbox_id != surely(armed(), event(NOW + HOUR)).outbox_id


def test_what_falls_into_quiet_hours_waits_if_it_lives_that_long() -> None:
    late = datetime(2026, 3, 2, 22, tzinfo=UTC)
    assert plan(armed(ttl_s=3600), event(late), NIGHT) is None
    assert (
        plan(armed(ttl_s=10 * 3600), event(late), NIGHT) is None
    )  # ends with the quiet hours, when it could leave first
    waits = surely(armed(ttl_s=11 * 3600, spread_s=300), event(late), NIGHT)
    assert timedelta() < waits.send_at - datetime(2026, 3, 3, 8, tzinfo=UTC) <= timedelta(seconds=300)
    assert waits.expires_at == late + 11 * HOUR
    assert surely(armed(ttl_s=60, kind="transactional", is_urgent=True), event(late), NIGHT).send_at == late
    before = late.replace(hour=20, minute=58, second=30)  # it might be under way when they begin
    assert plan(armed(ttl_s=3600), event(before), NIGHT) is None
    in_berlin = NOW.replace(hour=20, minute=30)
    assert plan(armed(ttl_s=3600), event(in_berlin), NIGHT, time_zone=BERLIN) is None
    siesta = (Window(13 * 60, 15 * 60),)
    moved = surely(armed(spread_s=0), event(NOW.replace(hour=14)), OFF, quiet=siesta)
    assert moved.send_at == NOW.replace(hour=15)


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"])  # the nights on which the clock is changed
def test_the_end_of_quiet_hours_is_that_of_the_persons_clock(day: str) -> None:
    at = datetime.fromisoformat(f"{day}T22:30").replace(tzinfo=ZoneInfo(BERLIN))
    starts_at, ends_at = datetime(2026, 1, 1), datetime(2027, 1, 1)
    one = armed(spread_s=0, ttl_s=12 * 3600, starts_at=starts_at, ends_at=ends_at)
    row = surely(one, event(at.astimezone(UTC)), NIGHT, time_zone=BERLIN)
    local = row.send_at.astimezone(ZoneInfo(BERLIN))
    assert (local.day, local.hour, local.minute) == (at.day + 1, 8, 0)


def test_only_hours_of_the_campaign_are_used() -> None:
    lunch = {"hours": [12, 13], "spread_s": 0}  # of Monday
    assert surely(armed(**lunch), event(NOW.replace(hour=12, minute=59))).send_at.minute == 59
    assert surely(armed(**lunch), event(NOW.replace(hour=9, minute=17))).send_at == NOW.replace(hour=12)
    assert plan(armed(**lunch, ttl_s=3600), event(NOW.replace(hour=9))) is None
    assert plan(armed(**lunch), event(NOW.replace(hour=14))) is None
    in_india = surely(armed(**lunch), event(NOW.replace(hour=5, minute=10)), time_zone="Asia/Kolkata")
    assert in_india.send_at == NOW.replace(hour=6, minute=30)


def test_what_had_to_wait_is_spread_no_further_than_it_may_leave() -> None:
    """Of many people each gets a push, and none of them in quiet hours, outside of the hours or after its life."""

    def minutes(one: Armed, at: datetime, *quiet: Window) -> set[int]:
        rows = [surely(one, event(at), user_id=n, quiet=quiet) for n in range(300)]
        return {int((row.send_at - at.replace(minute=0)).total_seconds() // 60) for row in rows}

    noon = NOW.replace(hour=12, minute=10)
    until_half_past = Window(12 * 60, 12 * 60 + 30)
    assert minutes(armed(hours=[12]), noon, until_half_past) == set(range(30, 60))
    assert minutes(armed(hours=[12, 13]), noon, until_half_past) == set(range(30, 85))
    again = Window(12 * 60 + 50, 13 * 60)  # from 12:48 on it might still be under way
    assert minutes(armed(), noon, until_half_past, again) == set(range(30, 48))
    assert minutes(armed(ttl_s=25 * 60), noon, until_half_past) == set(range(30, 35))


def test_a_campaign_lives_on_each_persons_clock() -> None:
    start = STARTS_AT.replace(tzinfo=UTC)
    assert plan(armed(), event(start - timedelta(seconds=1))) is None
    assert plan(armed(), event(start)) is not None
    assert plan(armed(), event(start - HOUR), time_zone=BERLIN) is not None
    end = start + timedelta(weeks=1)
    assert plan(armed(), event(end - timedelta(seconds=1))) is not None
    assert plan(armed(), event(end)) is None
    assert plan(armed(trigger={"delay_s": 60}), event(end - timedelta(seconds=60))) is None
