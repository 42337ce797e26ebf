"""Upkeep of the database: dead rows, old transactions, transaction numbers, replicas and what is kept for them."""

from datetime import datetime
from typing import Any, Final

from service.doctor.finding import Finding, Group

DEAD_ROWS_MIN: Final = 50_000
DEAD_SHARE_WARN: Final = 0.3
TRANSACTION_WARN_S: Final = 600.0
AGE_WARN: Final = 500_000_000
AGE_FAIL: Final = 1_500_000_000
LAG_WARN_BYTES: Final = 256 * 2**20
KEPT_WARN_BYTES: Final = 2 * 2**30
SHOWN_MAX: Final = 5

_GROUP: Final = Group("upkeep")

_DEAD: Final = """
    select relname::text, n_dead_tup from pg_stat_user_tables
     where n_dead_tup > $1 and n_dead_tup > $2 * (n_live_tup + n_dead_tup) order by n_dead_tup desc limit $3
"""
_OLDEST: Final = """
    select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0)::float8
      from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
_AGE: Final = "select age(datfrozenxid) from pg_database where datname = current_database()"
_REPLICAS: Final = """
    select coalesce(application_name, '') as name, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as behind_bytes
      from pg_stat_replication order by 1
"""
_SLOTS: Final = """
    select slot_name::text as name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as kept_bytes
      from pg_replication_slots order by 1
"""


async def look(connection: Any, _now: datetime) -> list[Finding]:
    """All findings about upkeep."""
    return [
        await _dead(connection),
        await _transactions(connection),
        await _age(connection),
        *await _replication(connection),
    ]


async def _dead(connection: Any) -> Finding:
    found = await connection.fetch(_DEAD, DEAD_ROWS_MIN, DEAD_SHARE_WARN, SHOWN_MAX)
    says = ", ".join(f"{row[0]}: {row[1]:,} dead" for row in found) or "few"
    return _GROUP.graded(
        "dead rows",
        says,
        "autovacuum does not keep up: give it more workers or less pause",
        warn=bool(found),
        fail=False,
    )


async def _transactions(connection: Any) -> Finding:
    oldest_s = await connection.fetchval(_OLDEST)
    advice = "who holds it? (pg_stat_activity) Nothing can be vacuumed meanwhile"
    return _GROUP.graded(
        "transactions", f"the oldest is {oldest_s:.0f} s old", advice, warn=oldest_s > TRANSACTION_WARN_S, fail=False
    )


async def _age(connection: Any) -> Finding:
    age = await connection.fetchval(_AGE)
    says, advice = f"{age:,} transactions since all was frozen", "let autovacuum finish, or `vacuum freeze`"
    return _GROUP.graded("transaction numbers", says, advice, warn=age > AGE_WARN, fail=age > AGE_FAIL)


async def _replication(connection: Any) -> list[Finding]:
    replicas = await connection.fetch(_REPLICAS)
    slots = await connection.fetch(_SLOTS)
    # Who is not told how far a replica is (that needs the role pg_monitor) is told that there is one.
    behind = {row["name"]: row["behind_bytes"] for row in replicas}
    says = ", ".join(
        f"{name or 'a replica'}: {lag if lag is not None else '?'} bytes behind" for name, lag in behind.items()
    )
    found = [
        _GROUP.graded(
            "replicas",
            says or "none",
            "is the replica, or the network to it, overloaded?",
            warn=any((lag or 0) > LAG_WARN_BYTES for lag in behind.values()),
            fail=False,
        )
    ]
    stale = [row for row in slots if not row["active"] or (row["kept_bytes"] or 0) > KEPT_WARN_BYTES]
    told = ", ".join(f"{row['name']} keeps {(row['kept_bytes'] or 0) / 2**20:.0f} MiB of log" for row in stale)
    advice = "a slot nobody reads fills the disk: drop it, or bring its reader back"
    return [*found, _GROUP.graded("replication slots", told or "none is stale", advice, warn=bool(stale), fail=False)]
