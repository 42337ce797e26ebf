"""The rules of contact: when nobody is pushed, and how often anybody may be; an operator's, a campaign's and a person's own."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from schema.base import Incoming, Kept
from schema.event import Tag

DAY_S: Final = 86_400
LONGEST_S: Final = 7 * DAY_S
"""The longest window of a cap or a gap: contacts are remembered for a day more."""

PUSHES_MAX: Final = 50
"""The largest number a cap may name: twice as many contacts are remembered of a person."""

WINDOWS_MAX: Final = 4

Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)")]
"""A time of the local day, as 21:30."""

PushCount = Annotated[int, Meta(ge=0, le=PUSHES_MAX)]


class QuietHours(Incoming, frozen=True):
    """No push from `begins` until `ends` on the person's own clock; over midnight when `ends` is the earlier one.

    When the clock changes in between, the night lasts from the first time it shows `begins` until the last time it shows `ends`.
    """

    begins: Clock
    ends: Clock

    def minutes(self) -> tuple[int, int]:
        """Both as minutes of the local day, as they are stored."""
        return _minutes(self.begins), _minutes(self.ends)


def quiet_hours_of(minutes: Sequence[int]) -> list[QuietHours]:
    """From minutes of the local day, begin and end by turns."""
    clocks = [f"{minute // 60:02}:{minute % 60:02}" for minute in minutes]
    return [QuietHours(begins=begins, ends=ends) for begins, ends in zip(clocks[::2], clocks[1::2], strict=True)]


def _minutes(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)


class Cap(Incoming, frozen=True):
    """At most `pushes_max` marketing pushes to one person: within any `within_s` seconds (at most 7 days), or a local day or week.

    A local week begins on Monday. With a `tag` only pushes of offers that carry it count, and only those are held back.
    """

    pushes_max: PushCount
    within_s: Annotated[int, Meta(ge=1, le=LONGEST_S)] | None = None
    per: Literal["local_day", "local_week"] | None = None
    tag: Tag | None = None


class Limits(Incoming, frozen=True):
    """What holds besides the installation's rules, and can only be stricter: of all rules that apply to a push every one must let it go.

    `min_gap_s` is the least time between two marketing pushes to one person.
    """

    quiet_hours: Annotated[list[QuietHours], Meta(max_length=WINDOWS_MAX)] = []
    caps: Annotated[list[Cap], Meta(max_length=32)] = []
    min_gap_s: Annotated[int, Meta(ge=0, le=LONGEST_S)] = 0


class ContactRules(Incoming, frozen=True):
    """The body of PUT /v1/contact-rules: what holds for every push of the installation. What is not named has its default.

    Whose time zone nobody knows is judged on the clock of their campaign's `default_time_zone`, with quiet hours that begin and end
    `unknown_zone_margin_s` earlier and later.
    """

    quiet_hours: Annotated[list[QuietHours], Meta(max_length=WINDOWS_MAX)] = msgspec.field(
        default_factory=lambda: [QuietHours(begins="21:00", ends="08:00")]
    )
    unknown_zone_margin_s: Annotated[int, Meta(ge=0, le=6 * 3600)] = 2 * 3600
    caps: Annotated[list[Cap], Meta(max_length=32)] = msgspec.field(
        default_factory=lambda: [Cap(pushes_max=1, per="local_day"), Cap(pushes_max=3, within_s=LONGEST_S)]
    )
    min_gap_s: Annotated[int, Meta(ge=0, le=LONGEST_S)] = 4 * 3600


class RulesInForce(Kept, frozen=True):
    """A version of the rules, and who set it when; version 0 are the defaults, which nobody has set."""

    version: int
    rules: ContactRules
    set_at: datetime | None = None
    set_by: str | None = None


class RulesPage(Kept, frozen=True):
    """A page of all versions, the newest first; `next_cursor` leads to the next one and is null on the last."""

    data: list[RulesInForce]
    next_cursor: str | None
    has_more: bool
