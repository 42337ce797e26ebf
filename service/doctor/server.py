"""The PostgreSQL server: its version, its clock, and settings on which promises rest."""

from datetime import UTC, datetime
from typing import Any, Final

from service.doctor.finding import Finding, Group

VERSION_MIN: Final = 150_000
SKEW_WARN_S: Final = 0.5
SKEW_FAIL_S: Final = 5.0
CONNECTIONS_WARN: Final = 0.8
WAL_KEPT_WARN: Final = 0.5
MUST: Final = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on", "track_counts": "on"}

_GROUP: Final = Group("server")

_ABOUT: Final = """
    select current_setting('server_version') as version, current_setting('server_version_num')::integer as number,
           current_setting('server_encoding') as encoding, pg_is_in_recovery() as is_standby,
           current_setting('synchronous_commit') as synchronous_commit, current_setting('max_connections')::integer as connections_max,
           (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
           pg_database_size(current_database()) as size_bytes,
           (select setting::integer from pg_settings where name = 'min_wal_size') as wal_kept_mib,
           (select setting::integer from pg_settings where name = 'max_wal_size') as wal_max_mib
"""
_SETTINGS: Final = "select name, setting from pg_settings where name = any($1::text[])"
_CLOCK: Final = "select clock_timestamp()"


async def look(connection: Any, _now: datetime) -> list[Finding]:
    """All findings about the server."""
    about = await connection.fetchrow(_ABOUT)
    return [
        _version(about),
        await _clock(connection),
        await _durability(connection, about["synchronous_commit"]),
        _connections(about),
        _log_files(about["wal_kept_mib"], about["wal_max_mib"]),
        _GROUP.ok("size", f"{about['size_bytes'] / 2**30:.2f} GiB"),
    ]


def _version(about: Any) -> Finding:
    if about["is_standby"]:
        return _GROUP.fail("version", "it is a standby, which takes no writes", "name the primary")
    if about["encoding"] != "UTF8":
        return _GROUP.fail("version", f"its encoding is {about['encoding']}", "make the database with UTF8")
    says = f"PostgreSQL {about['version']}"
    return _GROUP.graded("version", says, "15 is the oldest we run on", warn=False, fail=about["number"] < VERSION_MIN)


async def _clock(connection: Any) -> Finding:
    """Compared with the middle of the quickest of a few round trips."""
    asked = []
    for _ in range(5):
        before = datetime.now(UTC)
        there = await connection.fetchval(_CLOCK)
        after = datetime.now(UTC)
        asked.append((after - before, there - before - (after - before) / 2))
    skew_s = min(asked)[1].total_seconds()
    says = f"its clock is {skew_s:+.3f} s from ours"
    advice = "let NTP keep both clocks: leases and quiet hours are told by them"
    return _GROUP.graded("clock", says, advice, warn=abs(skew_s) > SKEW_WARN_S, fail=abs(skew_s) > SKEW_FAIL_S)


async def _durability(connection: Any, synchronous_commit: str) -> Finding:
    wrong = [f"{row[0]} is {row[1]}" for row in await connection.fetch(_SETTINGS, list(MUST)) if row[1] != MUST[row[0]]]
    if synchronous_commit in {"off", "local"}:
        wrong.append(f"synchronous_commit is {synchronous_commit} by default")
    says = "; ".join(wrong) or "what is acknowledged is on the disk"
    is_wrong = any(not one.startswith("synchronous") for one in wrong)
    return _GROUP.graded("durability", says, "what was acknowledged may be lost", warn=bool(wrong), fail=is_wrong)


def _connections(about: Any) -> Finding:
    used, most = about["connections"], about["connections_max"]
    advice = "raise max_connections, or lower WELLTIMED_POOL_MAX or WELLTIMED_WORKERS"
    return _GROUP.graded("connections", f"{used} of {most}", advice, warn=used > CONNECTIONS_WARN * most, fail=False)


def _log_files(kept_mib: int, max_mib: int) -> Finding:
    says = f"{kept_mib} of at most {max_mib} MiB of its log are kept to be written again"
    advice = "raise min_wal_size to max_wal_size: each file that is made anew stalls all commits (docs/decisions/0016)"
    return _GROUP.graded("log files", says, advice, warn=kept_mib < WAL_KEPT_WARN * max_mib, fail=False)
