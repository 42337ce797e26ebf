"""The outbox: planned -> ready (drawn) -> sending (leased, committed before the first byte) -> one of the final states."""

from collections import Counter
from collections.abc import Sequence
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
_IS_BACKLOG: Final = """
    select count(*) >= $2
      from (select from campaigns_with_planned join campaigns c using (campaign_id) cross join lateral (
              select from outbox o where o.campaign_id = c.campaign_id and o.state = 0 and o.send_at <= $1
               order by o.send_at, o.outbox_id limit $2) due
             where c.status <> 'paused'
               and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))
             limit $2) found
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
