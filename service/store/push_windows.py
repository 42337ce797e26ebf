"""Outcome windows of push decisions, sent or not, as the effect of pushes is learned from them: one pass of SQL over what is logged."""

import io
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits.features import DIMS, FEATURE_SET
from bandits.incremental_fit import NOBODY, Windows
from schema.ids import lowest_uuid7

KEPT_FOR: Final = timedelta(days=180)
"""As long as decisions are."""

SHARES: Final = 1 << 20
"""People are sampled by so many equal shares of a hash of theirs."""

_TIMEOUT_S: Final = 3600.0

_COUNT: Final = """
    select count(*), count(*) filter (where is_sent) from push_windows
     where decision_id >= $1 and decision_id < $2 and octet_length(phi) = $3 and feature_set = $5 and began_at < $4
"""
# Every column has a fixed width, so that PostgreSQL's binary form is an array of records. Instants in microseconds since 1970; -1: none.
# The limits are for the planner, which believes in few windows: each is then one look by a key, however many there are.
# Whether the thing was bought is asked of everybody alike: a purchase with one of the tags the drawn offer had then. The bounds on event_id
# (the instant it was received) let PostgreSQL leave out other days; what is told more than a week later, no till tells.
_READ: Final = """
    select w.user_id, (extract(epoch from w.began_at) * 1000000)::bigint, w.is_sent,
           coalesce((extract(epoch from bought.told_at) * 1000000)::bigint, -1),
           bought.told_at is not null and coalesce(w.redeemed_at <= w.began_at + interval '72 hours', false),
           w.may_personalise and k.has_personalization_consent
             and not (v.body ->> 'sensitive')::boolean and (v.body ->> 'min_age')::integer = 0,
           w.phi
      from push_windows w
      cross join lateral (select has_personalization_consent from users where user_id = w.user_id limit 1) k
      cross join lateral (
        select body from offer_versions
         where offer_id = w.offer_id and from_version <= w.catalogue_version
           and (to_version is null or to_version > w.catalogue_version) limit 1) v
      left join lateral (
        select min(p.received_at) as told_at from events p
         where p.user_id = w.user_id and p.type = 1
           and p.event_id >= (lpad(to_hex((extract(epoch from w.began_at) * 1000)::bigint - 1), 12, '0') || repeat('0', 20))::uuid
           and p.event_id < (lpad(to_hex((extract(epoch from w.began_at + interval '11 days') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
           and p.occurred_at > w.began_at and p.occurred_at <= w.began_at + interval '72 hours' and p.received_at < $4::timestamptz
           and exists (select 1 from jsonb_array_elements_text(
                                  case jsonb_typeof(p.properties -> 'tags') when 'array' then p.properties -> 'tags' else '[]' end) as t(tag)
                        where v.body -> 'tags' ? btrim(lower(normalize(t.tag))))
      ) bought on true
     where w.decision_id >= $1::uuid and w.decision_id < $2::uuid and octet_length(w.phi) = $3::integer and w.feature_set = $5::integer
       and w.began_at < $4::timestamptz and (hashint8extended(w.user_id, 0) & 1048575) < $6::integer
     order by w.decision_id, w.user_id
"""

_HEADER_BYTES: Final = 19
_TRAILER_BYTES: Final = 2
_RECORD: Final = np.dtype(
    [
        ("columns", ">i2"),
        ("bytes_0", ">i4"), ("user_id", ">i8"),
        ("bytes_1", ">i4"), ("began_us", ">i8"),
        ("bytes_2", ">i4"), ("is_sent", "i1"),
        ("bytes_3", ">i4"), ("told_us", ">i8"),
        ("bytes_4", ">i4"), ("is_redeemed", "i1"),
        ("bytes_5", ">i4"), ("is_personal", "i1"),
        ("bytes_6", ">i4"), ("phi", "<f4", (DIMS,)),
    ]
)  # fmt: skip


class Count(NamedTuple):
    """Windows that have begun, and how many of them after a push."""

    windows: int
    pushes: int


class Read(NamedTuple):
    """Windows, whose persons are places in `people` (N,) of our ids, and how many purchases after a push were redeemed."""

    windows: Windows
    people: npt.NDArray[np.int64]
    redeemed: float


async def count(connection: Any, now: datetime) -> Count:
    """All windows that began before `now`."""
    return Count(*await connection.fetchrow(_COUNT, *_bounds(now), timeout=_TIMEOUT_S))


async def read(connection: Any, now: datetime, share: float) -> Read:
    """The windows that began before `now`, of a share of the people: always the same ones, each with all of theirs.

    What was told from `now` on is not in it.
    """
    file = io.BytesIO()

    async def write(data: bytes) -> None:
        file.write(data)

    bounds = (*_bounds(now), round(share * SHARES))
    await connection.copy_from_query(_READ, *bounds, output=write, format="binary", timeout=_TIMEOUT_S)
    return _read(np.frombuffer(file.getbuffer()[_HEADER_BYTES:-_TRAILER_BYTES], _RECORD))


def _bounds(now: datetime) -> tuple[Any, Any, int, datetime, int]:
    return lowest_uuid7(now - KEPT_FOR), lowest_uuid7(now), 4 * DIMS, now, FEATURE_SET


def _read(records: npt.NDArray[np.void]) -> Read:
    """Without windows of which nothing can be learned: the features of a damaged decision are not numbers."""
    if len(records) and (records["bytes_6"] != 4 * DIMS).any():
        raise ValueError("windows are not read as they were written")
    records = records[np.isfinite(records["phi"]).all(axis=1)]
    is_personal = records["is_personal"] != 0
    people, place = np.unique(records["user_id"][is_personal].astype(np.int64), return_inverse=True)
    person = np.full(len(records), NOBODY, np.int64)
    person[is_personal] = place
    began_us, told_us = records["began_us"].astype(np.int64), records["told_us"].astype(np.int64)
    is_bought = told_us >= 0
    windows = Windows(
        np.ascontiguousarray(records["phi"], np.float32),
        person,
        began_us / 1e6,
        (records["is_sent"] != 0).astype(np.float64),
        is_bought.astype(np.float64),
        np.where(is_bought, np.maximum(told_us - began_us, 0), 0) / 1e6,
    )
    redeemed = float(np.count_nonzero((records["is_redeemed"] != 0) & (records["is_sent"] != 0)))
    return Read(windows, people, redeemed)
