"""Which campaigns an event sets off, and the moment of the push it brings; pure, as the hot path of events asks it."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from whenever import Instant

from push.campaign.local_week import HOURS, to_utc
from push.contact import contact_rules, quiet_hours
from push.contact.quiet_hours import Span
from push.entropy import entropy_of
from push.planning.audience import Reachable
from push.sending.claim import LEASE
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules
from schema.ids import partition_of, uuid7
from schema.trigger import Condition, Trigger

EVENT_AGE_MAX: Final = timedelta(minutes=10)
"""An event that is told later than this after it happened sets off nothing: its moment has gone by."""

_REACH: Final = LEASE + timedelta(minutes=1)
"""For so long after its moment a push may still be under way."""

_MOVES_MAX: Final = HOURS + 16
_HOUR: Final = timedelta(hours=1)

_properties = msgspec.json.Decoder(dict[str, Any]).decode


class Happening(NamedTuple):
    """An event that was just written; `properties` is JSON text, `offer_id` ours."""

    user_id: int
    type: int
    occurred_at: datetime
    received_at: datetime
    offer_id: int | None
    properties: bytes


class Armed(NamedTuple):
    """A campaign that waits for events; `offer_ids` are those an event must be about, empty for no such condition."""

    campaign: StoredCampaign
    trigger: Trigger
    offer_ids: frozenset[int]


class Triggered(NamedTuple):
    """A row for the outbox, and until when the person's events bring no other."""

    user_id: int
    campaign_id: UUID
    occurrence_at: datetime
    rests_until: datetime
    outbox_id: UUID
    bucket: int
    send_at: datetime
    expires_at: datetime


def fires(armed: Armed, event: Happening) -> bool:
    """Whether an event of the trigger's type sets it off, as far as the event alone tells."""
    trigger = armed.trigger
    if event.received_at - event.occurred_at > EVENT_AGE_MAX:
        return False
    if (trigger.is_about_offer or trigger.offers) and event.offer_id is None:
        return False
    if trigger.offers and event.offer_id not in armed.offer_ids:
        return False
    if not trigger.conditions:
        return True
    told = _properties(event.properties)
    return all(_holds(condition, told.get(condition.property)) for condition in trigger.conditions)


def planned(armed: Armed, event: Happening, person: Reachable, seed: bytes, rules: ContactRules) -> Triggered | None:
    """The push an event brings its person; None when no moment of its life is free.

    Args:
        armed: what the event has set off.
        event: no older than EVENT_AGE_MAX.
        person: who did it, one of the audience.
        seed: with campaign, event's instant and person it makes every random bit.
        rules: of contact; no moment lies in quiet hours.
    """
    campaign, trigger = armed.campaign, armed.trigger
    entropy = entropy_of(seed, campaign, event.received_at.replace(tzinfo=None), person.user_id)
    wanted = max(event.received_at, event.occurred_at + timedelta(seconds=trigger.delay_s))
    expires_at = wanted + timedelta(seconds=campaign.campaign.ttl_s)
    zone, windows = contact_rules.windows_of(rules, campaign.campaign, person.time_zone, person.quiet)
    nights: Sequence[Span] = ()
    if windows and not campaign.campaign.is_urgent:
        nights = quiet_hours.spans(wanted, expires_at + _REACH, zone, windows)
    hours = _Hours(zone, frozenset(campaign.campaign.hours))
    begin = _free_from(wanted, expires_at, nights, hours)
    ends_at = min(expires_at, to_utc(campaign.campaign.ends_at, zone))
    is_alive = to_utc(campaign.campaign.starts_at, zone) <= event.occurred_at
    if begin is None or not is_alive or begin >= ends_at:
        return None
    spread_s = 0
    if begin > wanted:
        until = min(ends_at, begin + timedelta(seconds=campaign.campaign.spread_s + 1))
        spread_s = _room_s(begin, until, nights, hours)
    send_at = begin + timedelta(seconds=int.from_bytes(entropy[10:]) % (spread_s + 1))
    return Triggered(
        person.user_id,
        campaign.id,
        event.received_at,
        event.received_at + timedelta(seconds=trigger.cooldown_s),
        uuid7(send_at, entropy),
        partition_of(person.user_id),
        send_at,
        expires_at,
    )


class _Hours(NamedTuple):
    """The hours of the local week that may be used; none named means all."""

    zone: str
    chosen: frozenset[int]


def _free_from(at: datetime, until: datetime, nights: Sequence[Span], hours: _Hours) -> datetime | None:
    """The first instant from `at` on, and before `until`, that is neither quiet nor outside of the hours."""
    for _ in range(_MOVES_MAX):
        if at >= until:
            return None
        night = quiet_hours.meeting(nights, at, at + _REACH)
        if night is not None:
            at = night[1]
        elif (later := _hour_after(at, hours)) is not None:
            at = later
        else:
            return at
    return None


def _room_s(begin: datetime, until: datetime, nights: Sequence[Span], hours: _Hours) -> int:
    """Seconds by which a push that is free to leave at `begin` may be moved: until the next quiet hours, the end of its hours, or `until`."""
    at = begin
    for night, _ in nights:
        if night > begin:
            until = min(until, night - _REACH)
            break
    while at < until and _hour_after(at, hours) is None:
        at = _next_hour(at, hours.zone)
    return max(math.ceil((min(at, until) - begin).total_seconds()) - 1, 0)


def _hour_after(at: datetime, hours: _Hours) -> datetime | None:
    """When the next local hour begins if `at` lies in one that may not be used; None when it may."""
    if not hours.chosen:
        return None
    local = Instant(at).to_tz(hours.zone).to_stdlib()
    return None if local.weekday() * 24 + local.hour in hours.chosen else _next_hour(at, hours.zone)


def _next_hour(at: datetime, zone: str) -> datetime:
    local = Instant(at).to_tz(zone).to_stdlib()
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return at - past + _HOUR


def _holds(condition: Condition, told: Any) -> bool:
    if told is None:
        return False
    if condition.at_least is not None or condition.at_most is not None:
        if isinstance(told, bool) or not isinstance(told, int | float):
            return False
        if condition.at_least is not None and told < condition.at_least:
            return False
        if condition.at_most is not None and told > condition.at_most:
            return False
    if condition.is_one_of is None:
        return True
    mine = told if isinstance(told, list) else [told]
    return any(_is_same(one, wanted) for one in mine for wanted in condition.is_one_of)


def _is_same(told: Any, wanted: str | float | bool) -> bool:
    """True is no 1: what is told must be of the kind that is wanted."""
    return isinstance(told, bool) == isinstance(wanted, bool) and told == wanted
