"""Planning once more, person by person, with dates, Python integers and a pmf by numpy: what plan_bucket has to give, to the last bit of an id."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from push.campaign.local_week import HOURS, instants, to_utc
from push.contact import contact_rules, quiet_hours
from push.entropy import entropy_of
from push.planning.audience import Reachable
from push.planning.plan_rows import Planned
from push.sending.claim import LEASE
from schema.campaign import StoredCampaign
from schema.contact_rules import ContactRules
from schema.ids import partition_of, uuid7
from tests.reference import send_time

HOUR = timedelta(hours=1)


class Week(NamedTuple):
    begins: tuple[datetime, ...]
    is_allowed: list[bool]
    until: datetime


def plan(
    campaign: StoredCampaign,
    occurrence: datetime,
    people: Sequence[Reachable],
    visits: Sequence[np.ndarray],
    shares: np.ndarray,
    seed: bytes,
    now: datetime,
    rules: ContactRules,
) -> list[Planned]:
    rows = []
    for person, own in zip(people, visits, strict=True):
        week = _week(campaign, occurrence, person, now, rules)
        if any(week.is_allowed):
            entropy = entropy_of(seed, campaign, occurrence, person.user_id)
            pmf = send_time.pmf(np.array(send_time.scores(own.tolist(), shares.tolist())), np.array(week.is_allowed))
            hour = send_time.drawn(pmf, _uniform(entropy))
            rows.append(_planned(campaign, person.user_id, week, hour, float(pmf[hour]), entropy))
    return rows


def _week(
    campaign: StoredCampaign, occurrence: datetime, person: Reachable, now: datetime, rules: ContactRules
) -> Week:
    body = campaign.campaign
    zone, windows = contact_rules.windows_of(rules, body, person.time_zone, person.quiet)
    begins, until = instants(occurrence, zone), to_utc(body.ends_at, zone)
    chosen = frozenset(body.hours) or frozenset(range(HOURS))
    reach = timedelta(seconds=body.spread_s) + LEASE
    allowed = [
        hour in chosen
        and now <= begin < until
        and (body.is_urgent or quiet_hours.quiet(begin, begin + reach, zone, windows).until is None)
        for hour, begin in enumerate(begins)
    ]
    return Week(begins, allowed, until)


def _planned(
    campaign: StoredCampaign, user_id: int, week: Week, hour: int, propensity: float, entropy: bytes
) -> Planned:
    body = campaign.campaign
    begin = week.begins[hour]
    room_s = max((week.until - begin) // timedelta(seconds=1) - 1, 0)
    spread_s = int.from_bytes(entropy[10:]) % (min(body.spread_s, room_s) + 1)
    send_at = begin + timedelta(seconds=spread_s)
    expires_at = send_at + timedelta(seconds=body.ttl_s)
    quiet_from = _quiet_from(frozenset(body.hours), hour, begin, expires_at)
    send_until = min(max(quiet_from, send_at + HOUR), expires_at)
    return Planned(user_id, uuid7(send_at, entropy), partition_of(user_id), send_at, send_until, expires_at, propensity)


def _quiet_from(chosen: frozenset[int], hour: int, begin: datetime, latest: datetime) -> datetime:
    """When the hours that may be used end, after one that begins at `begin`; `latest` if they go on until then."""
    if not chosen:
        return latest
    ahead = 1
    while ahead < HOURS and (hour + ahead) % HOURS in chosen and begin + ahead * HOUR < latest:
        ahead += 1
    return begin + ahead * HOUR


def _uniform(entropy: bytes) -> float:
    return ((int.from_bytes(hashlib.blake2b(entropy, digest_size=8).digest()) >> 12) + 0.5) / (1 << 52)
