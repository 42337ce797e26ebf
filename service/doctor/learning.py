"""The background work: does a worker lead, does the learner keep up, is there a snapshot to decide by?"""

from datetime import UTC, datetime
from typing import Any, Final

from service.doctor.finding import Finding, Group
from service.planning.leader import LOCK
from service.store import migrate, retention

LAG_WARN_S: Final = 30.0
LAG_FAIL_S: Final = 600.0
AGE_WARN_S: Final = 6 * 3600.0

_GROUP: Final = Group("learning")

_LEADS: Final = """
    select exists (select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
                      and (classid::bigint << 32) | objid::bigint = $1 and granted)
"""
_NEWEST: Final = "select version, published_at from snapshots order by version desc limit 1"


async def look(connection: Any, now: datetime) -> list[Finding]:
    """All findings about learning; none before there is a schema."""
    if not await connection.fetchval(migrate.HAS_TABLE):
        return []
    leads = await connection.fetchval(_LEADS, LOCK)
    return [_worker(leads), await _lag(connection, leads), await _snapshot(connection, now)]


def _worker(leads: bool) -> Finding:
    says = "one leads" if leads else "none leads"
    advice = "nothing is learned, planned or sent: start `welltimed serve`, or its role worker"
    return _GROUP.graded("worker", says, advice, warn=not leads, fail=False)


async def _lag(connection: Any, leads: bool) -> Finding:
    since = await retention.uncounted_since(connection)
    lag_s = 0.0 if since is None else max((datetime.now(UTC) - since).total_seconds(), 0.0)
    says = f"the oldest event not counted waits since {lag_s:.0f} s" if since else "all events are counted"
    advice = "see welltimed_failures_total and the worker's log"
    return _GROUP.graded("learner", says, advice, warn=lag_s > LAG_WARN_S, fail=leads and lag_s > LAG_FAIL_S)


async def _snapshot(connection: Any, now: datetime) -> Finding:
    row = await connection.fetchrow(_NEWEST)
    if row is None:
        return _GROUP.warn("snapshot", "none has been published", "the worker publishes the first when it starts")
    age_s = (now - row[1]).total_seconds()
    says = f"version {row[0]}, published {age_s:.0f} s ago"
    advice = "the composer publishes at least every hour: see welltimed_snapshots_refused_total and the worker's log"
    return _GROUP.graded("snapshot", says, advice, warn=age_s > AGE_WARN_S, fail=False)
