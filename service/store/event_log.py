"""The event log in PostgreSQL: 64 partitions by user, in each the order of seq is the order of commits."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from schema.ids import partition_of
from schema.log import DECODER, ENCODER, LogEntry
from service.store import pieces

CHANNEL: Final = "event_log"
AT_ONCE: Final = ""
IN_TIME: Final = "in_time"
"""How soon what was appended should be counted, as the notification says it: somebody waits for it, or nobody does."""
BATCHES_MAX: Final = 128
BYTES_MAX: Final = 65_536
"""Of one partition in one reading, some seven hundred entries: of what waits after a stall only so much is in memory at once."""
TRIMMED_ROWS: Final = 500
"""Of a partition, in one transaction."""

# One statement, one round trip: the heads are locked in the order of the partitions, so that writers cannot deadlock.
_APPEND: Final = """
    with locked as (
        select partition from event_log_heads where partition = any($1::smallint[]) order by partition for update
    ), advanced as (
        update event_log_heads h set seq = h.seq + 1 from locked where h.partition = locked.partition
        returning h.partition, h.seq
    ), appended as (
        insert into event_log (partition, seq, body, appended_at)
        select a.partition, a.seq, b.body, $3
          from advanced a join unnest($1::smallint[], $2::bytea[]) as b(partition, body) using (partition)
    )
    select partition, seq, (select pg_notify('event_log', $4)) is null from advanced
"""
# The running sum is of what lies before a batch: the first is read whatever its size.
_READ: Final = """
    select l.partition, l.seq, l.body, l.appended_at
      from unnest($1::smallint[], $2::bigint[]) as o(partition, seq)
      cross join lateral (
        select e.partition, e.seq, e.body, e.appended_at,
               sum(octet_length(e.body)) over (order by e.seq rows between unbounded preceding and 1 preceding) as bytes_before
          from event_log e where e.partition = o.partition and e.seq > o.seq order by e.seq limit $3
      ) l
     where coalesce(l.bytes_before, 0) < $4
     order by l.partition, l.seq
"""
# From the front of each partition: in the order of seq lies also the order of time, and by time there is no index.
_TRIM: Final = """
    delete from event_log where ctid = any (array(
        select e.ctid from learner_partitions p cross join lateral (
            select l.ctid, l.appended_at from event_log l where l.partition = p.partition and l.seq <= p.last_seq
             order by l.seq limit $2) e
         where e.appended_at < $1))
"""


class LogBatch(NamedTuple):
    """One micro-batch of one partition as it was appended."""

    partition: int
    seq: int
    entries: list[LogEntry]


class Read(NamedTuple):
    """What was read; `is_all` says that there was no more."""

    batches: list[LogBatch]
    is_all: bool


async def append(connection: Any, entries: Sequence[LogEntry], now: datetime, urgency: str = AT_ONCE) -> dict[int, int]:
    """Appends entries inside the caller's transaction, which must end soon: it holds the heads of the partitions it touches.

    Returns:
        The seq of what was appended, by partition.
    """
    if not entries:
        return {}
    parts: defaultdict[int, list[LogEntry]] = defaultdict(list)
    for entry in entries:
        parts[partition_of(entry.user_id)].append(entry)
    bodies = [ENCODER.encode(part) for part in parts.values()]
    return {row[0]: row[1] for row in await connection.fetch(_APPEND, list(parts), bodies, now, urgency)}


async def read(connection: Any, offsets: Mapping[int, int], appended_before: datetime | None = None) -> Read:
    """Micro-batches after the given offsets, in order: of each partition at most BATCHES_MAX, and none after the one that reaches BYTES_MAX.

    With `appended_before` only those before the first that was not appended before that instant, in each partition.
    """
    rows = await connection.fetch(_READ, list(offsets), list(offsets.values()), BATCHES_MAX, BYTES_MAX)
    batches: list[LogBatch] = []
    is_all = True
    for partition, group in groupby(rows, itemgetter("partition")):
        count = size = 0
        for _, seq, body, appended_at in group:
            if appended_before is not None and appended_at >= appended_before:
                break
            batches.append(LogBatch(partition, seq, DECODER.decode(body)))
            count += 1
            size += len(body)
        is_all &= count < BATCHES_MAX and size < BYTES_MAX
    return Read(batches, is_all)


async def trim(connection: Any, before: datetime) -> None:
    """Deletes what the learner has counted and that is older than `before`. The caller must not be in a transaction."""
    await pieces.delete(connection, _TRIM, before, TRIMMED_ROWS)
