"""The outbox: planned -> ready (drawn) -> sending (leased, committed before the first byte) -> one of the final states."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from push import outbox_days
from schema.campaign import CampaignOutcomes, StoredCampaign
from schema.decision import Channel


class State(IntEnum):
    """Where a push stands. The numbers are stored."""

    PLANNED = 0
    READY = 1
    SENDING = 2
    ACCEPTED = 3
    FAILED = 4
    EXPIRED = 5
    WITHDRAWN = 6
    UNKNOWN = 7
    NO_SEND = 8
    ELSEWHERE = 9
    """Drawn for a campaign that does not push: other channels serve it."""


class Key(NamedTuple):
    """The primary key of a row, but for the channel, which is push."""

    user_id: int
    campaign_id: UUID
    occurrence_at: datetime


class DueRow(NamedTuple):
    """A planned row whose moment has come, or has gone by; its place is its own until the transaction that locked it ends."""

    key: Key
    place: Any
    outbox_id: UUID
    has_ended: bool
    is_late: bool
    is_gone: bool
    expires_at: datetime
    send_at: datetime

    def stopped_by(self) -> str | None:
        """Why nothing is drawn for it: its campaign has ended, its time is over, or its person is no more."""
        if self.has_ended:
            return "campaign_ended"
        if self.is_late:
            return "expired"
        return "person_gone" if self.is_gone else None


class DueRows(NamedTuple):
    """What was found due; all of it, or as much as a batch holds."""

    rows: list[DueRow]
    is_all: bool


class DrawnRow(NamedTuple):
    """What was drawn for a due row, by its place and occurrence; `message` as `draft.message_of` writes it, and what is reserved with it."""

    place: Any
    occurrence_at: datetime
    state: State
    outcome: str | None
    decision_id: UUID | None = None
    offer_id: int | None = None
    message: bytes | None = None
    reservation_id: str | None = None


class Settled(NamedTuple):
    """What became of a row that was claimed under `fence`; with retry_at it is ready again from then on. Unknown: perhaps it was sent."""

    key: Key
    fence: int
    state: State
    outcome: str
    retry_at: datetime | None = None
    is_unknown: bool = False


_PLAN: Final = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at,
                        moment_propensity)
    select u, $1, $2, $3, o, b, 0, s, l, e, m
      from unnest($4::bigint[], $5::uuid[], $6::smallint[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::float8[])
           as t(u, o, b, s, l, e, m)
    on conflict do nothing
"""
# Each campaign that may send has the same share of a batch: a large one does not keep the others waiting, and a paused one is not read.
# A merge of people moves these rows before all else, so that the lock on a row keeps it, and its decision, with the person it is drawn for.
# What lies before the instant from which a campaign is looked through was drawn just now: while any snapshot sees it, its entries stay.
_DUE: Final = """
    with going as materialized (
        select c.campaign_id, c.status = 'ended' as has_ended, f.looked_from
          from campaigns_with_planned join campaigns c using (campaign_id)
          left join unnest($3::uuid[], $4::timestamptz[]) as known(campaign_id, send_at) on known.campaign_id = c.campaign_id
         cross join lateral (select coalesce(known.send_at, '-infinity') as looked_from) f
         cross join lateral (
            select 1 from outbox o where o.campaign_id = c.campaign_id and o.state = 0 and o.send_at between f.looked_from and $1
             order by o.send_at limit 1) due
         where c.status <> 'paused'
           and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional')) limit $2
    )
    select share.user_id, share.campaign_id, share.occurrence_at, share.place, share.outbox_id, going.has_ended, share.send_until <= $1,
           not exists (select from users u where u.user_id = share.user_id), share.expires_at, share.send_at, (select count(*) from going)
      from going cross join lateral (
        select o.user_id, o.campaign_id, o.occurrence_at, o.ctid as place, o.outbox_id, o.send_at, o.send_until, o.expires_at
          from outbox o
         where o.campaign_id = going.campaign_id and o.state = 0 and o.send_at between going.looked_from and $1
         order by o.send_at, o.outbox_id limit (select $2 / count(*) from going)
           for update skip locked) share
     order by share.send_at, share.outbox_id limit $2
"""
_IS_BACKLOG: Final = """
    select count(*) >= $2
      from (select from campaigns_with_planned join campaigns c using (campaign_id) cross join lateral (
              select from outbox o where o.campaign_id = c.campaign_id and o.state = 0 and o.send_at <= $1
               order by o.send_at, o.outbox_id limit $2) due
             where c.status <> 'paused'
               and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))
             limit $2) found
"""
# The bounds of a batch's occurrences keep the other days out of every plan.
_DRAWN: Final = """
    update outbox o set state = t.state, decision_id = t.decision_id, offer_id = t.offer_id, message = t.message, reservation_id = t.reservation_id,
           outcome = t.outcome, settled_at = case when t.state = 1 then null else $1::timestamptz end
      from unnest($2::tid[], $3::timestamptz[], $4::smallint[], $5::text[], $6::uuid[], $7::integer[], $8::bytea[], $9::uuid[])
           as t(place, occurrence_at, state, outcome, decision_id, offer_id, message, reservation_id)
     where o.ctid = t.place and o.occurrence_at = t.occurrence_at and o.occurrence_at between $10 and $11
"""
# Row by row by its key, which the lateral look asks for. Who has a lease is being sent; asked by its state, a planner that believes that
# nobody is would go by the index of the leased, and compare each of them with each row of the batch. A place is of one day's table, which
# only the look can name: named by its occurrence, all rows of a day could be joined with all of the batch before anything is looked up.
_SETTLE: Final = """
    update outbox o set state = found.state, outcome = found.outcome,
           settled_at = case when found.retry_at is null then $1::timestamptz end,
           lease_until = null, send_at = coalesce(found.retry_at, o.send_at), unknowns = o.unknowns + found.is_unknown::integer
      from (select t.*, mine.place, mine.day
              from unnest($2::bigint[], $3::uuid[], $4::timestamptz[], $5::bigint[], $6::smallint[], $7::text[], $8::timestamptz[], $9::boolean[])
                   as t(user_id, campaign_id, occurrence_at, fence, state, outcome, retry_at, is_unknown)
             cross join lateral (
                select r.ctid as place, r.tableoid as day from outbox r
                 where r.user_id = t.user_id and r.campaign_id = t.campaign_id and r.occurrence_at = t.occurrence_at and r.channel = $10
                   and r.occurrence_at between $11 and $12 and r.lease_until is not null and r.fence = t.fence limit 1 for update) mine) found
     where o.ctid = found.place and o.tableoid = found.day and o.occurrence_at between $11 and $12
    returning o.fence
"""
_OUTCOMES: Final = """
    with counted as (
        select state, case when state <> 3 then outcome end as outcome, count(*) as pushes, count(decision_id) as decisions, sum(unknowns) as unknowns
          from (select state, outcome, decision_id, unknowns from outbox where campaign_id = $1
                 union all
                select state, outcome, decision_id, unknowns from outbox_past where campaign_id = $1) kept
         group by 1, 2
        union all
        select state, outcome, pushes, decisions, unknowns from outbox_counts where campaign_id = $1
    )
    select state, outcome, sum(pushes)::bigint as pushes, sum(decisions)::bigint as decisions, sum(unknowns)::bigint as unknowns
      from counted group by 1, 2 order by 1, 2
"""


async def plan(connection: Any, campaign: StoredCampaign, occurrence: datetime, rows: Sequence[Any]) -> int:
    """Writes planned rows, in the caller's transaction; one that exists stays as it is. The number of new rows."""
    if not rows:
        return 0
    await outbox_days.ensure(connection, [occurrence])
    columns = [list(column) for column in zip(*rows, strict=True)]
    done = await connection.execute(_PLAN, campaign.id, occurrence.replace(tzinfo=UTC), int(Channel.PUSH), *columns)
    return int(done.rpartition(" ")[2])


async def outcomes(connection: Any, campaign_id: UUID) -> CampaignOutcomes:
    """How the pushes of a campaign stand, also those whose rows are gone. Reads all its rows: a report, not for the hot path."""
    states = dict.fromkeys((state.name.lower() for state in State), 0)
    reasons: Counter[str] = Counter()
    decisions = unknowns = 0
    for row in await connection.fetch(_OUTCOMES, campaign_id):
        state = State(row["state"])
        states[state.name.lower()] += row["pushes"]
        decisions += row["decisions"]
        unknowns += row["unknowns"]
        if row["outcome"] is not None and state is not State.ACCEPTED:
            reasons[row["outcome"]] += row["pushes"]
    return CampaignOutcomes(states=states, decisions=decisions, reasons=dict(reasons), unknown_attempts=unknowns)


async def due(
    connection: Any, now: datetime, rows_max: int, looked_from: Mapping[UUID, datetime] | None = None
) -> DueRows:
    """Planned rows whose moment has come, locked for the caller's transaction; those that others hold are left out.

    Fewer than `rows_max` may come although more are due: each campaign gets its share. A campaign in `looked_from` is looked through from
    that moment on.
    """
    known = looked_from or {}
    found = await connection.fetch(_DUE, now, rows_max, list(known), list(known.values()))
    rows = [DueRow(Key(row[0], row[1], row[2]), *row[3:10]) for row in found]
    return DueRows(rows, is_all([row[1] for row in found], found[0][10] if found else 0, rows_max))


async def is_backlog(connection: Any, now: datetime, rows_min: int) -> bool:
    """Whether so many planned rows are due."""
    return bool(await connection.fetchval(_IS_BACKLOG, now, rows_min))


def is_all(campaign_ids: Sequence[UUID], going: int, rows_max: int) -> bool:
    """Whether rows of these campaigns are all there were, but for those that others hold: no campaign has filled its share.

    Args:
        campaign_ids: of each row that was taken.
        going: how many campaigns had rows.
        rows_max: what they shared.
    """
    return not campaign_ids or max(Counter(campaign_ids).values()) < rows_max // going


async def drawn(connection: Any, rows: Sequence[DrawnRow], now: datetime) -> None:
    """Notes what was drawn for due rows, in the transaction that locked them and logged the decisions."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    occurrences = {*columns[1]}
    await connection.execute(_DRAWN, now, *columns, min(occurrences), max(occurrences))


async def settle(connection: Any, settled: Sequence[Settled], now: datetime) -> set[int]:
    """Notes outcomes of rows that are being sent; gives the fences of those that were still the caller's to settle."""
    columns = [list(column) for column in zip(*(row[1:] for row in settled), strict=True)]
    keys = [row.key for row in settled]
    given = (*key_columns(keys), *columns, int(Channel.PUSH), *bounds(keys))
    return {row[0] for row in await connection.fetch(_SETTLE, now, *given)}


def key_columns(keys: Sequence[Key]) -> tuple[list[int], list[UUID], list[datetime]]:
    """Keys as a statement takes them."""
    return [key.user_id for key in keys], [key.campaign_id for key in keys], [key.occurrence_at for key in keys]


def bounds(keys: Sequence[Key]) -> tuple[datetime, datetime]:
    """The first and the last occurrence."""
    occurrences = {key.occurrence_at for key in keys}
    return min(occurrences), max(occurrences)
