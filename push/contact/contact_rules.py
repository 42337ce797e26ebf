"""The one rule of contact, judged by the draw and again by the claim: may this person be pushed now, and about what?

Installation, campaign and person each have rules; a push must be let go by all of them. Counted are marketing pushes that left, or may
have, whatever campaign they were of.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from push.contact import quiet_hours
from push.contact.quiet_hours import Quiet, Window
from schema.campaign import Campaign, StoredCampaign
from schema.contact_rules import DAY_S, LONGEST_S, Cap, ContactRules

KEPT_FOR: Final = timedelta(days=8)
"""A day longer than any window, so that a clock that is set back an hour finds what it needs."""

CONTACTS_MAX: Final = 128

QUIET_HOURS: Final = "quiet_hours"
CAP_REACHED: Final = "cap_reached"
TOO_SOON: Final = "too_soon"
CATEGORY_CAP_REACHED: Final = "category_cap_reached"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Contact(NamedTuple):
    """A push that was counted: when it was claimed (unix milliseconds), which it was, and the tags of its offer."""

    at_ms: int
    outbox_id: str
    tags: Sequence[str]


class Person(NamedTuple):
    """What the rules ask of a person: the zone of their clock, their own rules, and what they were sent of late."""

    zone: str | None
    quiet: tuple[Window, ...]
    per_day_max: int | None
    per_week_max: int | None
    sent: list[Contact]


_NO_TAGS: Final[frozenset[str]] = frozenset()


class Verdict(NamedTuple):
    """`reason` is why the person is left in peace, None when they need not be; `full_tags` are those of which they have had enough.

    `quiet` is told also when another reason comes first.
    """

    reason: str | None
    full_tags: frozenset[str]
    quiet: Quiet


class _Room(NamedTuple):
    """There is none when `full_at` pushes were counted after `after_ms`."""

    full_at: int
    after_ms: int
    reason: str
    tag: str | None = None


class _Clock(NamedTuple):
    """Whose clock it is: a zone, and by how many minutes quiet hours are widened since it is a guess."""

    zone: str
    margin: int


class Judge:
    """The rules of an installation at one instant. What is the same for many people is worked out once.

    `reach` is how long after that instant a push that is let go may still leave: the whole of it must be free of quiet hours.
    """

    def __init__(self, rules: ContactRules, now: datetime, reach: timedelta = timedelta()) -> None:
        self._rules = rules
        self._now = now
        self._until = now + reach
        self._quiet: dict[tuple[UUID, str | None, tuple[Window, ...]], Quiet] = {}
        self._rooms: dict[tuple[UUID, str | None], list[_Room]] = {}
        self._of_many: dict[tuple[UUID, str | None, tuple[Window, ...]], Verdict] = {}

    def of(self, campaign: StoredCampaign, person: Person) -> Verdict:
        """What the rules say of a push of this campaign to this person."""
        if person.sent or person.per_day_max is not None or person.per_week_max is not None:
            return self._of(campaign, person)
        # Most people were sent nothing of late and have no limits of their own: the same goes for all of a zone.
        key = (campaign.id, person.zone, person.quiet)
        found = self._of_many.get(key)
        if found is None:
            found = self._of_many[key] = self._of(campaign, person)
        return found

    def _of(self, campaign: StoredCampaign, person: Person) -> Verdict:
        quiet = self._quiet_of(campaign, person)
        reason = QUIET_HOURS if quiet.until is not None else None
        if not is_counted(campaign):
            return Verdict(reason, frozenset(), quiet)
        rooms = self._rooms_of(campaign, person.zone)
        if person.per_day_max is not None or person.per_week_max is not None:
            rooms = [*rooms, *_own_rooms(person, self._now)]
        full = [room for room in rooms if _is_full(room, person.sent)]
        if not full:
            return Verdict(reason, _NO_TAGS, quiet)
        reason = reason or next((room.reason for room in full if room.tag is None), None)
        return Verdict(reason, frozenset(room.tag for room in full if room.tag is not None), quiet)

    def _quiet_of(self, campaign: StoredCampaign, person: Person) -> Quiet:
        if campaign.campaign.is_urgent:
            return Quiet(None, None)
        key = (campaign.id, person.zone, person.quiet)
        found = self._quiet.get(key)
        if found is None:
            zone, windows = windows_of(self._rules, campaign.campaign, person.zone, person.quiet)
            found = self._quiet[key] = quiet_hours.quiet(self._now, self._until, zone, windows)
        return found

    def _rooms_of(self, campaign: StoredCampaign, zone: str | None) -> list[_Room]:
        key = (campaign.id, zone)
        found = self._rooms.get(key)
        if found is None:
            own = campaign.campaign.contact
            clock = _clock(self._rules, campaign.campaign, zone)
            gap_s = max(self._rules.min_gap_s, own.min_gap_s)
            caps = [_room(cap, self._now, clock.zone) for cap in (*self._rules.caps, *own.caps)]
            gap = [_Room(1, milliseconds(self._now - timedelta(seconds=gap_s)), TOO_SOON)] if gap_s else []
            found = self._rooms[key] = caps + gap
        return found


def is_counted(campaign: StoredCampaign) -> bool:
    """Whether its pushes count, and are held back by caps and gaps."""
    return campaign.campaign.kind == "marketing"


def windows_of(
    rules: ContactRules, campaign: Campaign, zone: str | None, own: tuple[Window, ...]
) -> tuple[str, tuple[Window, ...]]:
    """The zone of a person's clock and all quiet hours that hold on it, as quiet_hours.quiet takes them."""
    clock = _clock(rules, campaign, zone)
    given = [Window(*hours.minutes()) for hours in (*rules.quiet_hours, *campaign.contact.quiet_hours)]
    return clock.zone, tuple(quiet_hours.widened(window, clock.margin) for window in (*given, *own))


def counted(sent: Sequence[Contact], contact: Contact) -> list[Contact]:
    """With one more; what is too old to matter goes, and of very many the oldest."""
    if not sent:
        return [contact]
    oldest_ms = contact.at_ms - KEPT_FOR // _MILLISECOND
    kept = [one for one in sent if one.at_ms > oldest_ms]
    return [*sorted(kept)[-CONTACTS_MAX + 1 :], contact]


def contact_at(now: datetime, outbox_id: str, tags: Collection[str]) -> Contact:
    """A push that is claimed now; rounded up, so that no window is too short."""
    return Contact(milliseconds(now) + 1, outbox_id, list(tags))


def zone_of(campaign: Campaign, zone: str | None) -> str:
    """The zone of a person's clock: their own if it is known, else the campaign's."""
    if zone is not None and quiet_hours.is_known(zone):
        return zone
    return campaign.default_time_zone if quiet_hours.is_known(campaign.default_time_zone) else "UTC"


def _clock(rules: ContactRules, campaign: Campaign, zone: str | None) -> _Clock:
    is_known = zone is not None and quiet_hours.is_known(zone)
    return _Clock(zone_of(campaign, zone), 0 if is_known else rules.unknown_zone_margin_s // 60)


def _room(cap: Cap, now: datetime, zone: str) -> _Room:
    # What was counted at the very beginning of a local day belongs to it; what is as old as a rolling window does not count any more.
    # Instants that lie ahead, as after a clock was set back, count always.
    if cap.per == "local_day":
        after_ms = milliseconds(quiet_hours.day_begins(now, zone)) - 1
    elif cap.per == "local_week":
        after_ms = milliseconds(quiet_hours.week_begins(now, zone)) - 1
    else:
        after_ms = milliseconds(now - timedelta(seconds=cap.within_s or LONGEST_S))
    return _Room(cap.pushes_max, after_ms, CAP_REACHED, cap.tag)


def _own_rooms(person: Person, now: datetime) -> list[_Room]:
    own = ((person.per_day_max, DAY_S), (person.per_week_max, LONGEST_S))
    return [
        _Room(most, milliseconds(now - timedelta(seconds=within_s)), CAP_REACHED)
        for most, within_s in own
        if most is not None
    ]


def _is_full(room: _Room, sent: Sequence[Contact]) -> bool:
    if not sent:  # as of most people
        return room.full_at <= 0
    after_ms, tag = room.after_ms, room.tag
    taken = sum(1 for contact in sent if contact.at_ms > after_ms and (tag is None or tag in contact.tags))
    return taken >= room.full_at


def milliseconds(at: datetime) -> int:
    """Since 1970, as contacts are kept."""
    return (at - _EPOCH) // _MILLISECOND
