"""How far behind the background work is, for /metrics and `welltimed doctor`: what counters cannot tell, because nothing happens."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from service import telemetry
from service.store import retention

MEASURE_EVERY_S: Final = 15.0

# One step in the index for each campaign that has ready rows; what is paused or stopped is held back on purpose.
_LATE: Final = """
    select extract(epoch from $1::timestamptz - min(due.send_at))::float8
      from campaigns_with_ready join campaigns c using (campaign_id) cross join lateral (
        select o.send_at from outbox o where o.campaign_id = c.campaign_id and o.state = 1 and o.send_at <= $1
         order by o.send_at limit 1) due
     where c.status <> 'paused'
       and not exists (select 1 from sending_stop s where not (s.spares_transactional and c.body ->> 'kind' = 'transactional'))
"""
_SNAPSHOT_AT: Final = "select published_at from snapshots order by version desc limit 1"
_STRAYED: Final = """
    select (exists (select from events_default))::integer + (exists (select from decisions_default))::integer
         + (exists (select from exposures_default))::integer
"""
_SIZE: Final = "select pg_database_size(current_database())"


class Vitals(NamedTuple):
    """Seconds since the oldest event that is not counted was appended, since the oldest ready push was due, since the newest snapshot was
    published (0: none is); default partitions that hold rows; bytes of the database.
    """

    learner_lag_s: float
    late_s: float
    snapshot_age_s: float
    strayed: int
    size_bytes: int


async def read(connection: Any, now: datetime) -> Vitals:
    """The vitals at the installation's present; five small queries."""
    uncounted = await retention.uncounted_since(connection)
    published = await connection.fetchval(_SNAPSHOT_AT)
    return Vitals(
        learner_lag_s=max((now - uncounted).total_seconds(), 0.0) if uncounted else 0.0,
        late_s=await late_s(connection, now),
        snapshot_age_s=max((now - published).total_seconds(), 0.0) if published else 0.0,
        strayed=await connection.fetchval(_STRAYED),
        size_bytes=await connection.fetchval(_SIZE),
    )


async def late_s(connection: Any, now: datetime) -> float:
    """For how long the oldest push has been due that is drawn and may be sent."""
    return await connection.fetchval(_LATE, now) or 0.0


class VitalsMeter:
    """Of one worker: each tells the same, so that none has to be the one who does."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def measure(self, now: datetime) -> None:
        """Puts the vitals where /metrics finds them."""
        async with self._pool.acquire() as connection:
            found = await read(connection, now)
        telemetry.LEARNER_LAG.set(found.learner_lag_s)
        telemetry.PUSHES_LATE.set(found.late_s)
        telemetry.SNAPSHOT_AGE.set(found.snapshot_age_s)
        telemetry.STRAYED.set(found.strayed)
        telemetry.DATABASE_BYTES.set(found.size_bytes)
