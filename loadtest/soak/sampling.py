"""What is looked at during a run: memory, threads and files of each process, and what PostgreSQL holds."""

import time
from pathlib import Path
from typing import Any, Final

import msgspec

from loadtest import processes
from loadtest.faults.installation import Installation
from loadtest.soak import exposition
from loadtest.soak.exposition import Metrics

ROLES: Final = ("api", "worker", "drawer", "stand-in")
_PROC: Final = Path("/proc")

_COUNTS: Final = """
    select (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
           (select temp_files from pg_stat_database where datname = current_database()) as temp_files,
           (select sum(h.seq - p.last_seq) from event_log_heads h join learner_partitions p using (partition)) as unread,
           (select count(*) from dead_letters) as dead_letters,
           (select count(*) from outbox where state in (0, 1, 2)) as outbox_open,
           (select sum(n_dead_tup) from pg_stat_user_tables) as dead_rows,
           pg_database_size(current_database()) as bytes,
           (select min(first.appended_at) from learner_partitions p cross join lateral (
              select e.appended_at from event_log e where e.partition = p.partition and e.seq > p.last_seq
               order by e.seq limit 1) first) as uncounted_since
"""
_SESSIONS: Final = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
_TABLES: Final = """
    select c.relname::text as name, c.reltuples as rows, coalesce(pg_total_relation_size(c.oid), 0) as bytes, coalesce(s.n_dead_tup, 0) as dead
      from pg_class c left join pg_stat_user_tables s on s.relid = c.oid
     where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
"""


class Process(msgspec.Struct, frozen=True):
    """One process: `bytes` is memory of its own, neither files nor shared."""

    pid: int
    bytes: int
    threads: int
    files: int


class Sample(msgspec.Struct, frozen=True):
    """One look. Processes by role; those of PostgreSQL's sessions with the product are `sessions`."""

    at_s: float
    days: float
    events: int
    processes: dict[str, list[Process]]
    sessions: list[Process]
    counts: dict[str, float]
    lag_s: float
    metrics: Metrics


class Tables(msgspec.Struct, frozen=True):
    """Rows (as estimated), bytes with indexes and dead rows of each table."""

    rows: dict[str, float]
    bytes: dict[str, int]
    dead: dict[str, int]


async def look(
    connection: Any,
    installation: Installation,
    *,
    began: float,
    days: float,
    events: int,
    product_now: Any,
    pace: float,
) -> Sample:
    """Samples now; `lag_s` is how long, in real seconds, the oldest event waits that is not counted."""
    row = dict(await connection.fetchrow(_COUNTS))
    since = row.pop("uncounted_since")
    pids = {role: installation.pids(role) for role in ROLES}
    return Sample(
        at_s=time.monotonic() - began,
        days=days,
        events=events,
        processes={role: [one for pid in found if (one := read(pid))] for role, found in pids.items()},
        sessions=[one for row in await connection.fetch(_SESSIONS) if (one := read(row["pid"]))],
        counts={name: float(value or 0) for name, value in row.items()},
        lag_s=0.0 if since is None else max((product_now - since).total_seconds() / pace, 0.0),
        metrics=await exposition.read(installation.port),
    )


async def tables(connection: Any) -> Tables:
    """Of all tables of ours."""
    found = await connection.fetch(_TABLES)
    rows, sizes, dead = ({row["name"]: row[what] for row in found} for what in ("rows", "bytes", "dead"))
    return Tables(rows, sizes, dead)


def read(pid: int) -> Process | None:
    """None when it has ended."""
    try:
        threads, files = (sum(1 for _ in (_PROC / str(pid) / what).iterdir()) for what in ("task", "fd"))
        return Process(pid, processes.resident_bytes(pid), threads, files)
    except OSError:
        return None
