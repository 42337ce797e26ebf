"""Rows of the outbox whose moment has come, a column at a time: of many, nothing is made for each."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from push.copy_format import EPOCH, MICROSECOND
from push.outbox import Key

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

Place = tuple[int, int]
"""Of a row in the table of its day; its own until the transaction that locked it ends."""

_PLACE: Final = np.dtype([("block", ">u4"), ("row", ">u2")])
_UUID_BYTES: Final = 16

# Each campaign that may send has the same share of a batch: a large one does not keep the others waiting, and a paused one is not read.
# A merge of people moves these rows before all else, so that the lock on a row keeps it, and its decision, with the person it is drawn for.
# What lies before the instant from which a campaign is looked through was drawn just now: while any snapshot sees it, its entries stay. So other
# campaigns are looked for, one step in the index for each, in the gaps between those.
_DUE: Final = """
    with known as materialized (
        select * from unnest($3::uuid[], $4::timestamptz[]) as k(campaign_id, looked_from)
    ), gaps as (
        select after, lead(after, 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff') over (order by after) as before
          from (select '00000000-0000-0000-0000-000000000000'::uuid union all select campaign_id from known) bounds(after)
    ), looked_through as (
        select campaign_id, looked_from from known
         union all
        select campaign_id, '-infinity'
          from gaps cross join lateral (
            with recursive found as (
                (select campaign_id from outbox where state = 0 and campaign_id > gaps.after and campaign_id < gaps.before
                  order by campaign_id limit 1)
                 union all
                select following.campaign_id
                  from found cross join lateral (
                    select o.campaign_id from outbox o where o.state = 0 and o.campaign_id > found.campaign_id and o.campaign_id < gaps.before
                     order by o.campaign_id limit 1) following
            )
            select campaign_id from found) others
    ), going as materialized (
        select c.campaign_id, c.status = 'ended' as has_ended, l.looked_from
          from looked_through l join campaigns c using (campaign_id)
         cross join lateral (
            select 1 from outbox o where o.campaign_id = c.campaign_id and o.state = 0 and o.send_at between l.looked_from and $1
             order by o.send_at limit 1) due
         where c.status <> 'paused'
           and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional')) limit $2
    ), taken as (
        select share.*, going.has_ended, share.send_until <= $1 as is_late
          from going cross join lateral (
            select o.user_id, o.campaign_id, o.occurrence_at, o.ctid as place, o.outbox_id, o.send_at, o.send_until, o.expires_at
              from outbox o
             where o.campaign_id = going.campaign_id and o.state = 0 and o.send_at between going.looked_from and $1
             order by o.send_at, o.outbox_id limit (select $2 / count(*) from going)
               for update skip locked) share
         order by share.send_at, share.outbox_id limit $2
    )
    select (select count(*) from going), string_agg(int8send(user_id), ''), string_agg(uuid_send(campaign_id), ''),
           string_agg(timestamptz_send(occurrence_at), ''), string_agg(tidsend(place), ''), string_agg(uuid_send(outbox_id), ''),
           string_agg(timestamptz_send(expires_at), ''), string_agg(timestamptz_send(send_at), ''), string_agg(boolsend(has_ended), ''),
           string_agg(boolsend(is_late), '')
      from taken
"""
_GONE: Final = """
    select g.user_id from unnest($1::bigint[]) as g(user_id) where not exists (select from users u where u.user_id = g.user_id)
"""


class DueRow(NamedTuple):
    """One of the rows."""

    key: Key
    place: Place
    outbox_id: UUID
    expires_at: datetime


class DueRows(NamedTuple):
    """What was found due, in the order of its moments; all of it (`is_all`), or as much as a batch holds.

    `campaign` (n,) points into `campaigns`, `outbox_ids` is (n, 16); instants are microseconds since 2000.
    """

    is_all: bool
    campaigns: list[UUID]
    campaign: I64
    user_ids: I64
    occurrences: I64
    places: list[Place]
    outbox_ids: Bytes
    expires: I64
    moments: I64
    has_ended: Mask
    is_late: Mask

    def row(self, n: int) -> DueRow:
        """The row number n."""
        key = Key(int(self.user_ids[n]), self.campaigns[self.campaign[n]], instant(self.occurrences[n]))
        return DueRow(key, self.places[n], UUID(bytes=self.outbox_ids[n].tobytes()), instant(self.expires[n]))

    def stopped_by(self, n: int) -> str | None:
        """Why nothing is drawn for it: its campaign has ended, or its time is over."""
        if self.has_ended[n]:
            return "campaign_ended"
        return "expired" if self.is_late[n] else None

    def is_stopped(self) -> Mask:
        """Whether something of that stands against each."""
        return self.has_ended | self.is_late

    def last_moments(self) -> dict[UUID, datetime]:
        """The latest moment of each campaign."""
        return {
            campaign_id: instant(self.moments[self.campaign == n].max()) for n, campaign_id in enumerate(self.campaigns)
        }


async def due(
    connection: Any, now: datetime, rows_max: int, looked_from: Mapping[UUID, datetime] | None = None
) -> DueRows:
    """Planned rows whose moment has come, locked for the caller's transaction; those that others hold are left out.

    Fewer than `rows_max` may come although more are due: each campaign gets its share. A campaign in `looked_from` is looked through from
    that moment on.
    """
    known = looked_from or {}
    going, *columns = await connection.fetchrow(_DUE, now, rows_max, list(known), list(known.values()))
    given = [column or b"" for column in columns]
    users, campaigns, occurrences, places, outbox_ids, expires, moments, *flags = given
    ids = np.frombuffer(campaigns, f"V{_UUID_BYTES}").tolist()
    number = {campaign_id: n for n, campaign_id in enumerate(dict.fromkeys(ids))}
    campaign = np.array([number[campaign_id] for campaign_id in ids], np.int64)
    return DueRows(
        not ids or int(np.bincount(campaign).max()) < rows_max // going,
        [UUID(bytes=campaign_id) for campaign_id in number],
        campaign,
        _integers(users),
        _integers(occurrences),
        np.frombuffer(places, _PLACE).tolist(),
        np.frombuffer(outbox_ids, np.uint8).reshape(-1, _UUID_BYTES),
        _integers(expires),
        _integers(moments),
        *(np.frombuffer(flag, np.bool_) for flag in flags),
    )


async def gone(connection: Any, user_ids: I64) -> set[int]:
    """Which of these people are no more."""
    return {row[0] for row in await connection.fetch(_GONE, user_ids.tolist())}


def instant(microseconds: int | np.integer[Any]) -> datetime:
    """Of microseconds since 2000."""
    return EPOCH + int(microseconds) * MICROSECOND


def _integers(column: bytes) -> I64:
    return np.frombuffer(column, ">i8").astype(np.int64)
