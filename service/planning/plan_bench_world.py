"""A database full of people with rhythms, phones and offers, for the benchmarks of planning and of drawing."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bandits.rhythm import HOURS, RECORD
from push import copy_format
from push.campaign import campaigns
from push.campaign.occurrences import due_from, plan_at
from schema.campaign import Campaign, StoredCampaign
from schema.ids import stable_entropy, uuid7
from schema.offer import Creative, Offer
from service.store import offers

STARTS_AT: Final = datetime(2026, 3, 2)  # noqa: DTZ001 - local times have no zone
ZONES: Final = ("America/New_York", "Europe/Berlin", "Asia/Kolkata", "Asia/Tokyo", "America/Sao_Paulo", "Europe/London")
NOW: Final = plan_at(STARTS_AT, ZONES)
"""When the occurrence has to be planned."""

OFFERS: Final = 50
TRIPS: Final = 20
"""Of a person, in a handful of their usual hours."""

USUAL_HOURS: Final = 8
NEVER_CAME: Final = 10
"""One person in so many."""

BLOCK: Final = 20_000
SEED: Final = 20_260_302

_BEFORE: Final = NOW - timedelta(days=1)
# One in fifty has told no zone, one in a hundred has quiet hours of their own, one in thirty has withdrawn consent.
_PEOPLE: Final = """
    insert into users (user_id, external_id, created_at, time_zone, quiet_minutes, has_push_consent) overriding system value
    select n, 'user ' || n, $2, case when n % 50 > 0 then ($3::text[])[1 + n % cardinality($3::text[])] end,
           case when n % 100 = 1 then '{1320,420}' else '{}' end::smallint[], n % 30 > 0
      from generate_series(1, $1::bigint) n
"""
_DEVICES: Final = """
    insert into devices (user_id, device_id, address, address_kind, platform, address_updated_at, last_seen_at)
    select n, 'phone', 'token-' || n, 'token', 'android', $2, $2 from generate_series(1, $1::bigint) n
"""
_STATE: Final = copy_format.layout(
    [("user_id", ">i8"), ("tastes", "V0"), ("rhythm", f"V{RECORD.itemsize}"), ("updated_at", ">i8")]
)
# The first checkpoint flushes commits that nobody waited for: until then a vacuum may not call their rows seen by all.
_TABLES: Final = (
    "checkpoint",
    "vacuum (analyze) users",
    "vacuum (analyze) devices",
    "vacuum (analyze) user_state",
    "checkpoint",
)


async def fill(connection: Any, people: int) -> StoredCampaign:
    """People 1..`people`, OFFERS offers, and a campaign of one week that has to be planned at NOW."""
    await connection.execute(_PEOPLE, people, _BEFORE, list(ZONES), timeout=600)
    await connection.execute(_DEVICES, people, _BEFORE, timeout=600)
    columns = copy_format.columns_of(_STATE)
    await connection.copy_to_table("user_state", source=_states(people), columns=columns, format="binary", timeout=600)
    await offers.put_all(connection, [_deal(number) for number in range(OFFERS)], _BEFORE)
    body = Campaign(campaign_id="bench", starts_at=STARTS_AT, ends_at=STARTS_AT + timedelta(weeks=1))
    stored = StoredCampaign(id=uuid7(_BEFORE, stable_entropy(b"bench")), status="active", campaign=body)
    await campaigns.create(connection, stored, _BEFORE, STARTS_AT, due_from(STARTS_AT))
    for statement in _TABLES:
        await connection.execute(statement, timeout=600)
    return stored


def _deal(number: int) -> Offer:
    words = Creative(title=f"Deal {number}", body=f"A piece less to pay for, number {number} of {OFFERS}")
    return Offer(offer_id=f"deal-{number}", creative=words, is_redeemable=True, tags=[f"category-{number}"])


async def _states(people: int) -> AsyncIterator[bytes]:
    yield copy_format.HEADER
    for first in range(1, people + 1, BLOCK):
        user_ids = np.arange(first, min(first + BLOCK, people + 1))
        user_ids = user_ids[user_ids % NEVER_CAME > 0]
        rows = copy_format.blank(_STATE, len(user_ids))
        rows["user_id"] = user_ids
        rows["rhythm"] = _rhythms(user_ids).view(rows["rhythm"].dtype)
        rows["updated_at"] = copy_format.microseconds(_BEFORE)
        yield rows.tobytes()
    yield copy_format.TRAILER


def rhythms(people: int) -> Iterator[npt.NDArray[np.void]]:
    """Packed rhythms, (BLOCK,) at a time."""
    for first in range(1, people + 1, BLOCK):
        yield _rhythms(np.arange(first, min(first + BLOCK, people + 1)))


def _rhythms(user_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Trips of the last months, (people,) packed."""
    rng = np.random.default_rng((SEED, int(user_ids[0])))
    people = len(user_ids)
    usual = rng.integers(0, HOURS, (people, USUAL_HOURS))
    trips = usual[np.arange(people)[:, None], rng.integers(0, USUAL_HOURS, (people, TRIPS))]
    visits = np.zeros((people, HOURS), np.float32)
    np.add.at(visits, (np.arange(people)[:, None], trips), rng.uniform(0.3, 1.0, (people, TRIPS)).astype(np.float32))
    packed = np.zeros(people, RECORD)
    packed["as_of_s"], packed["visits"] = int(_BEFORE.timestamp()), visits
    packed["newest_trip"] = int(_BEFORE.timestamp()) // 10_800
    return packed
