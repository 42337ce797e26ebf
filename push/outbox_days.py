"""The outbox by days: a day is made before it is planned for, put aside when all of it is settled, and at last only its counts are kept.

What runs all the time walks every day of `outbox`; so these are few, and the others are partitions of `outbox_past`. A day is held by its
row in `outbox_days`: whoever writes rows shares it, whoever moves the day away has it alone.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import asyncpg
import structlog

CLOSED_AFTER: Final = timedelta(days=1)
"""Days of late are left open: local time, of which occurrences speak, may be most of a day from UTC."""

KEPT_FOR: Final = timedelta(days=30)
"""How long a day is kept after all of it was settled."""

DAYS_MAX: Final = 10
"""Days that one call moves or drops."""

_LOG: Final = structlog.get_logger(area="outbox")

_LOCK_WAIT: Final = "set local lock_timeout = '2s'"
# As text, which each connection knows: of arrays of days it would first have to learn.
_HELD: Final = "select day from outbox_days where day = any($1::text[]::date[]) and closed_at is null for key share"
_REOPEN: Final = "update outbox_days set closed_at = null where day = $1 and closed_at is not null returning 1"
_ENTER: Final = "insert into outbox_days (day) values ($1) on conflict (day) do nothing returning 1"
_OPEN: Final = "select day from outbox_days where closed_at is null and day < $1 order by day"
_ALONE: Final = "select 1 from outbox_days where day = $1 and closed_at is null for update skip locked"
# One look into the index of each state: who asks for the first in its order cannot be given a walk through the table, as where all rows were
# planned when it was looked at last.
_IS_UNSETTLED: Final = """
    select (select 1 from outbox where state = 0 and occurrence_at >= $1 and occurrence_at < $2 order by campaign_id limit 1) is not null
        or (select 1 from outbox where state = 1 and occurrence_at >= $1 and occurrence_at < $2 order by campaign_id limit 1) is not null
        or (select 1 from outbox where state = 2 and occurrence_at >= $1 and occurrence_at < $2 order by lease_until limit 1) is not null
"""
_HAS_ROWS: Final = "select exists (select 1 from outbox where occurrence_at >= $1 and occurrence_at < $2)"
_CLOSE: Final = "update outbox_days set closed_at = $2 where day = $1"
_STRIKE: Final = "delete from outbox_days where day = $1"
_OLD: Final = "select day from outbox_days where closed_at < $1 order by day limit $2"
_STRIKE_OLD: Final = "delete from outbox_days where day = $1 and closed_at < $2 returning 1"
_COUNT: Final = """
    insert into outbox_counts (campaign_id, state, outcome, pushes, decisions, unknowns)
    select campaign_id, state, case when state <> 3 then outcome end, count(*), count(decision_id), sum(unknowns)
      from outbox_past where occurrence_at >= $1 and occurrence_at < $2 group by 1, 2, 3
    on conflict (campaign_id, state, outcome) do update
       set pushes = outbox_counts.pushes + excluded.pushes, decisions = outbox_counts.decisions + excluded.decisions,
           unknowns = outbox_counts.unknowns + excluded.unknowns
"""
# PostgreSQL takes no arguments in DDL: it quotes them itself. A table that is made alone and then attached does not wait for readers and
# writers of the others, and its check spares reading it when it is attached again.
_MAKE: Final = """
    select format('create table %1$I (like outbox including all, check (occurrence_at >= %2$L and occurrence_at < %3$L))'
                  ' with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);'
                  ' alter table outbox attach partition %1$I for values from (%2$L) to (%3$L)', $1::text, $2::timestamptz, $3::timestamptz)
"""
_PUT_ASIDE: Final = """
    select format('alter table outbox detach partition %1$I;'
                  ' alter table outbox_past attach partition %1$I for values from (%2$L) to (%3$L)', $1::text, $2::timestamptz, $3::timestamptz)
"""
_TAKE_BACK: Final = """
    select format('alter table outbox_past detach partition %1$I;'
                  ' alter table outbox attach partition %1$I for values from (%2$L) to (%3$L)', $1::text, $2::timestamptz, $3::timestamptz)
"""
_DROP: Final = "select format('drop table %I', $1::text)"


async def ensure(connection: Any, occurrences: Collection[datetime]) -> None:
    """Lets rows of these occurrences be written; until the caller's transaction ends nobody moves their days away.

    Args:
        connection: in the transaction that writes the rows.
        occurrences: as in occurrence_at; an aware instant, or a naive local time whose digits are said to be UTC.
    """
    days = sorted({_day(occurrence) for occurrence in occurrences})
    held = {row[0] for row in await connection.fetch(_HELD, [day.isoformat() for day in days])}
    for day in days:
        if day not in held:
            async with connection.transaction():
                await _open(connection, day)


async def close(connection: Any, now: datetime) -> None:
    """Puts aside days of which everything is settled; of which nothing was ever planned, they go. The caller must not be in a transaction."""
    before = (now - CLOSED_AFTER).astimezone(UTC).date()
    moved = 0
    for day in [row[0] for row in await connection.fetch(_OPEN, before)]:
        try:
            async with connection.transaction():
                await connection.execute(_LOCK_WAIT)
                moved += await _close(connection, day, now)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            _LOG.warning("a day of the outbox is put aside later", day=day.isoformat(), reason=type(error).__name__)
            return
        if moved == DAYS_MAX:
            return


async def forget(connection: Any, now: datetime) -> None:
    """Turns days that were put aside more than KEPT_FOR ago into counts. The caller must not be in a transaction."""
    for day in [row[0] for row in await connection.fetch(_OLD, now - KEPT_FOR, DAYS_MAX)]:
        try:
            # One transaction: a push is counted in the one place or in the other.
            async with connection.transaction():
                await connection.execute(_LOCK_WAIT)
                if await connection.fetchval(_STRIKE_OLD, day, now - KEPT_FOR):
                    await connection.execute(_COUNT, *_range(day))
                    await connection.execute(await connection.fetchval(_DROP, _name(day)))
                    _LOG.info("a day of the outbox was dropped", day=day.isoformat())
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            _LOG.warning("a day of the outbox is dropped later", day=day.isoformat(), reason=type(error).__name__)
            return


async def _open(connection: Any, day: date) -> None:
    """Makes a day, or takes it back; whoever else does so at the same time is waited for."""
    if await connection.fetchval(_REOPEN, day):
        await connection.execute(await connection.fetchval(_TAKE_BACK, _name(day), *_range(day)))
    elif await connection.fetchval(_ENTER, day):
        await connection.execute(await connection.fetchval(_MAKE, _name(day), *_range(day)))
    else:
        await connection.fetch(_HELD, [day.isoformat()])


async def _close(connection: Any, day: date, now: datetime) -> bool:
    """Whether it was put aside, or was empty and is gone. Once it is held alone no open row can come."""
    if not await connection.fetchval(_ALONE, day) or await connection.fetchval(_IS_UNSETTLED, *_range(day)):
        return False
    if await connection.fetchval(_HAS_ROWS, *_range(day)):
        await connection.execute(await connection.fetchval(_PUT_ASIDE, _name(day), *_range(day)))
        await connection.execute(_CLOSE, day, now)
    else:
        await connection.execute(await connection.fetchval(_DROP, _name(day)))
        await connection.execute(_STRIKE, day)
    return True


def _day(occurrence: datetime) -> date:
    return occurrence.astimezone(UTC).date() if occurrence.tzinfo else occurrence.date()


def _range(day: date) -> tuple[datetime, datetime]:
    begins_at = datetime.combine(day, time(), UTC)
    return begins_at, begins_at + timedelta(days=1)


def _name(day: date) -> str:
    return f"outbox_{day:%Y%m%d}"
