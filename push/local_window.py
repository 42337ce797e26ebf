"""The window of an occurrence on several clocks, as arrays: when each hour of the week begins, and whether a push may leave in it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from push import contact_rules, quiet_hours
from push.claim import LEASE
from push.copy_format import microseconds
from push.local_week import HOURS, instants, to_utc
from push.quiet_hours import Window
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules

I64 = npt.NDArray[np.int64]


class Clock(NamedTuple):
    """What people have in common for whom the same hours are allowed: their zone, if known, and their own quiet hours."""

    zone: str | None
    quiet: tuple[Window, ...] = ()


class Windows(NamedTuple):
    """`begins` (clocks, 168) and `until` (clocks,) are microseconds since 2000; `is_allowed` is (clocks, 168)."""

    begins: I64
    is_allowed: npt.NDArray[np.bool_]
    until: I64


def windows_on(
    clocks: Sequence[Clock], campaign: StoredCampaign, occurrence: datetime, now: datetime, rules: ContactRules
) -> Windows:
    """By local hour of the week: allowed are hours the campaign has chosen that begin from `now` on, in the window and not in quiet hours.

    Args:
        clocks: of the people.
        campaign: whose hours and end count.
        occurrence: naive local start of the window.
        now: aware.
        rules: of contact.
    """
    found: list[tuple[Any, ...]] = [_window(clock, campaign, occurrence, now, rules) for clock in clocks]
    begins, allowed, until = zip(*found, strict=True) if found else ((), (), ())
    return Windows(
        np.array(begins, np.int64).reshape(-1, HOURS),
        np.array(allowed, np.bool_).reshape(-1, HOURS),
        np.array(until, np.int64),
    )


def _window(
    clock: Clock, campaign: StoredCampaign, occurrence: datetime, now: datetime, rules: ContactRules
) -> tuple[list[int], list[bool], int]:
    body = campaign.campaign
    zone, windows = contact_rules.windows_of(rules, body, clock.zone, clock.quiet)
    begins, until = instants(occurrence, zone), to_utc(body.ends_at, zone)
    chosen = frozenset(body.hours) or frozenset(range(HOURS))
    reach = timedelta(seconds=body.spread_s) + LEASE
    may_be_quiet = windows and not body.is_urgent
    nights = quiet_hours.spans(min(begins), max(begins) + reach, zone, windows) if may_be_quiet else []
    allowed = [
        hour in chosen and now <= begin < until and quiet_hours.meeting(nights, begin, begin + reach) is None
        for hour, begin in enumerate(begins)
    ]
    return [microseconds(begin) for begin in begins], allowed, microseconds(until)
