"""The window of an occurrence on several clocks, as arrays: when each hour of the week begins, and whether a push may leave in it."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from push.campaign.local_week import HOURS, instants, to_utc
from push.contact import contact_rules, quiet_hours
from push.contact.quiet_hours import Window
from push.copy_format import EPOCH, MICROSECOND, microseconds
from push.sending.claim import LEASE
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules

I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Clock(NamedTuple):
    """What people have in common for whom the same hours are allowed: their zone, if known, and their own quiet hours."""

    zone: str | None
    quiet: tuple[Window, ...] = ()


class Windows(NamedTuple):
    """`begins` (clocks, 168) and `until` (clocks,) are microseconds since 2000; `is_allowed` is (clocks, 168)."""

    begins: I64
    is_allowed: Flags
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
    windows = Windows(
        np.zeros((len(clocks), HOURS), np.int64),
        np.zeros((len(clocks), HOURS), np.bool_),
        np.zeros(len(clocks), np.int64),
    )
    body, now_us = campaign.campaign, microseconds(now)
    chosen = np.zeros(HOURS, np.bool_)
    chosen[body.hours or slice(None)] = True
    for place, clock in enumerate(clocks):
        zone, quiet = contact_rules.windows_of(rules, body, clock.zone, clock.quiet)
        begins, until = _begins(occurrence, zone), microseconds(to_utc(body.ends_at, zone))
        windows.begins[place], windows.until[place] = begins, until
        windows.is_allowed[place] = chosen & (now_us <= begins) & (begins < until)
        if quiet and not body.is_urgent:
            windows.is_allowed[place] &= ~_is_quiet(begins, body.spread_s, zone, quiet)
    return windows


@lru_cache(maxsize=256)
def _begins(occurrence: datetime, zone: str) -> I64:
    begins = np.array([microseconds(begin) for begin in instants(occurrence, zone)], np.int64)
    begins.flags.writeable = False
    return begins


def _is_quiet(begins: I64, spread_s: int, zone: str, windows: Sequence[Window]) -> Flags:
    """Whether a push of the hour may meet quiet hours, wherever in its spread and its lease it leaves, (168,)."""
    reach = int(LEASE / MICROSECOND) + spread_s * 1_000_000
    first, last = int(begins.min()), int(begins.max()) + reach
    nights = quiet_hours.spans(EPOCH + first * MICROSECOND, EPOCH + last * MICROSECOND, zone, windows)
    starts, ends = np.array([[microseconds(at) for at in night] for night in nights], np.int64).reshape(-1, 2).T
    place = np.searchsorted(starts, begins + reach, side="right") - 1
    is_quiet: Flags = (place >= 0) & (ends[place] > begins)
    return is_quiet
