"""At rest: the sums of what clients were told against the database, what is kept too long, and the days there are."""

import asyncio
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from loadtest.soak import past
from loadtest.soak.plan import BEGINS_AT, SoakClock
from loadtest.soak.told import Told
from schema.event import CODES, EventType
from schema.ids import lowest_uuid7

REST_S: Final = 180.0
DAYS_REST_S: Final = 15.0
KEPT: Final = (
    ("event_log", "appended_at", timedelta(hours=72)),
    ("event_keys", "received_at", timedelta(days=7)),
    ("idempotency_keys", "created_at", timedelta(hours=24)),
    ("answers", "answered_at", timedelta(days=8, hours=6)),
)
PURGED_EVERY: Final = timedelta(minutes=10)
LATE_REAL_S: Final = 30.0

_UNREAD: Final = "select sum(h.seq - p.last_seq) from event_log_heads h join learner_partitions p using (partition)"
_EVENTS: Final = "select type, count(*) from events where event_id >= $1 group by 1"
_OVERDUE: Final = "select count(*) from (select from {table} where {column} < $1 limit 1000000) overdue"
_STRAYED: Final = """
    select (select count(*) from events_default) + (select count(*) from decisions_default) + (select count(*) from exposures_default)
"""


class Books(msgspec.Struct):
    """Counts by type as told and as kept; entries that the learner should have counted and has; rows kept too long; days."""

    told: dict[str, int]
    kept: dict[str, int]
    sales_told: int
    sales_kept: int
    unread: int
    entries_logged: int
    entries_counted: int
    overdue: dict[str, int]
    strayed: int
    days_dropped: list[str]
    days_not_dropped: list[str]
    days_missing: list[str]


async def at_rest(connection: Any) -> int:
    """Batches of the log that are still unread after REST_S at most: 0 when the learner has counted everything."""
    deadline = time.monotonic() + REST_S
    while True:
        unread = int(await connection.fetchval(_UNREAD))
        if not unread or time.monotonic() > deadline:
            return unread
        await asyncio.sleep(0.3)


async def audit(
    connection: Any, told: Told, clock: SoakClock, days_made: list[str], counted: float, accepted: float
) -> Books:
    """`counted` entries the learner says it has counted, `accepted` pushes FCM has taken: each of them is an entry of the log too."""
    rows = await connection.fetch(_EVENTS, lowest_uuid7(BEGINS_AT), timeout=300)
    names = {code: name for name, code in CODES.items()}
    kept = {names[EventType(row[0])]: int(row[1]) for row in rows}
    now = clock.now()
    gone = await _days_at_rest(connection, days_made, clock)
    there = set(await past.days(connection))
    return Books(
        told=dict(+told.counts),
        kept={name: count for name, count in kept.items() if name != "redeemed"},
        sales_told=told.sales_made,
        sales_kept=kept.get("redeemed", 0),
        unread=await at_rest(connection),  # pushes go on, and each is an entry
        entries_logged=sum(kept.values()) + int(accepted),
        entries_counted=int(counted),
        overdue={
            table: await _overdue(connection, table, column, now - kept_for, clock) for table, column, kept_for in KEPT
        },
        strayed=int(await connection.fetchval(_STRAYED)),
        days_dropped=sorted(gone - there),
        days_not_dropped=sorted(gone & there),
        days_missing=sorted(past.must_be_there(now) - there),
    )


async def _overdue(connection: Any, table: str, column: str, before: datetime, clock: SoakClock) -> int:
    late = max(2 * PURGED_EVERY, timedelta(seconds=LATE_REAL_S * clock.pace))
    return int(await connection.fetchval(_OVERDUE.format(table=table, column=column), before - late, timeout=300))


async def _days_at_rest(connection: Any, days_made: list[str], clock: SoakClock) -> set[str]:
    """Which days should be gone by now; a little while is waited for the tick that drops them."""
    gone = past.must_be_gone(days_made, clock.now())
    deadline = time.monotonic() + DAYS_REST_S
    while True:
        left = gone & set(await past.days(connection))
        if not left or time.monotonic() > deadline:
            return gone
        await asyncio.sleep(0.5)


def differences(books: Books) -> Counter[str]:
    """By type, how many more were told than are kept: lost above 0, counted twice below."""
    found = Counter({kind: books.told.get(kind, 0) - books.kept.get(kind, 0) for kind in books.told | books.kept})
    found["redeemed"] = books.sales_told - books.sales_kept
    found["counted by the learner"] = books.entries_logged - books.entries_counted
    return Counter({kind: count for kind, count in found.items() if count})
