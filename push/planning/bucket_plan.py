"""Drawing the moments of a block of people: a function of its arguments alone, for any executor."""

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from push.campaign.local_week import HOURS
from push.copy_format import MICROSECOND
from push.decider import Moments
from push.entropy import entropies_of, partitions_of, uniforms_of
from push.planning import plan_rows
from push.planning.audience import People
from push.planning.local_window import windows_on
from push.planning.plan_rows import Rows
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules

LATE_MAX: Final = timedelta(hours=1)
"""How late a push may leave although its hour is over."""

I64 = npt.NDArray[np.int64]

_SECOND_US: Final = 1_000_000
_HOUR_US: Final = 3600 * _SECOND_US
_UNIX_MS: Final = 946_684_800_000
"""The year 2000 in milliseconds since 1970."""


def plan_bucket(
    campaign: StoredCampaign,
    occurrence: datetime,
    people: People,
    moments: Moments,
    seed: bytes,
    now: datetime,
    rules: ContactRules,
) -> Rows:
    """Draws everyone's moment.

    Args:
        campaign: whose hours, spread and life of a message are used.
        occurrence: naive local start of the window.
        people: of the audience, with their rhythms.
        moments: draws the hours.
        seed: with campaign, occurrence and person it makes every random bit.
        now: moments before it are not allowed; who has none left gets no row.
        rules: of contact; no moment lies in quiet hours.

    Returns:
        plan_rows.ROW of those who can be reached, in order.
    """
    windows = windows_on(people.clocks, campaign, occurrence, now, rules)
    entropies = entropies_of(seed, campaign, occurrence, people.user_ids)
    hours, propensities = moments.draw(people.rhythms, windows.is_allowed, people.clock, uniforms_of(entropies))
    (reached,) = np.nonzero(hours >= 0)
    hours, clock, entropies = hours[reached], people.clock[reached], entropies[reached]
    body = campaign.campaign
    begin, until = windows.begins[clock, hours], windows.until[clock]
    room_s = np.maximum((until - begin) // _SECOND_US - 1, 0)
    send_at = begin + _spread_s(entropies, np.minimum(body.spread_s, room_s)) * _SECOND_US
    expires_at = send_at + body.ttl_s * _SECOND_US
    quiet_from = begin + _hours_that_follow(frozenset(body.hours))[hours] * _HOUR_US
    rows = plan_rows.blank(campaign, occurrence, len(reached))
    rows["user_id"] = people.user_ids[reached]
    rows["outbox_id"] = _uuid7(send_at, entropies)
    rows["bucket"] = partitions_of(people.user_ids[reached])
    rows["send_at"] = send_at
    rows["send_until"] = np.minimum(np.maximum(quiet_from, send_at + LATE_MAX // MICROSECOND), expires_at)
    rows["expires_at"] = expires_at
    rows["moment_propensity"] = propensities[reached]
    return rows


def _hours_that_follow(chosen: frozenset[int]) -> I64:
    """How many hours from each on, itself included, may be used without a break, (168,); more than any life when all may."""
    if not chosen:
        return np.full(HOURS, 1 << 20)
    follow = np.empty(HOURS, np.int64)
    for hour in range(HOURS):
        ahead = 1
        while ahead < HOURS and (hour + ahead) % HOURS in chosen:
            ahead += 1
        follow[hour] = ahead
    return follow


def _spread_s(entropies: npt.NDArray[np.uint8], most_s: I64) -> I64:
    """Seconds from 0 to `most_s` of each person, by the last six bytes of (people, 16)."""
    number = np.zeros(len(entropies), np.int64)
    for place in range(10, 16):
        number = number << 8 | entropies[:, place]
    return number % (most_s + 1)


def _uuid7(at: I64, entropies: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
    """schema.ids.uuid7 for many: of microseconds since 2000, and the first ten bytes of (people, 16)."""
    uuids = np.empty((len(at), 16), np.uint8)
    uuids[:, :6] = (at // 1000 + _UNIX_MS).astype(">i8").view(np.uint8).reshape(-1, 8)[:, 2:]
    uuids[:, 6] = 0x70 | entropies[:, 0] >> 4
    uuids[:, 7] = entropies[:, 0] << 4 | entropies[:, 1] >> 4
    uuids[:, 8] = 0x80 | entropies[:, 2] & 0x3F
    uuids[:, 9:] = entropies[:, 3:10]
    return uuids.view("V16").ravel()
