"""What planning costs on this machine, from people in PostgreSQL to rows of the outbox, beside its bare parts of the same run.

The bare parts are what nobody can do without: the audience read by one COPY (binary, nothing made of it), the moments drawn by the
kernel from rhythms that lie in memory, and the very rows written by one COPY into the outbox with its indexes.
"""

import asyncio
import resource
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import uvloop

from bandits.rhythm import HOURS
from push.decider import Moments, Rhythms
from push.planning import audience
from push.planning.plan_meter import Unmetered
from push.planning.planner import Planner
from schema.audience import Audience
from schema.campaign import StoredCampaign
from service.learning.composer import Composer
from service.planning import plan_bench_world
from service.planning.bench_postgres import Tell, chunks, own_postgres, seconds_of
from service.planning.moments import LearnedMoments
from service.store import partitions_by_day
from service.store.current_snapshot import SnapshotCache
from service.store.embedded import SUPERUSER
from service.store.migrate import migrate
from service.store.pool import open_pool

POOL_MAX: Final = 4
SEED: Final = b"bench"


class Planned(NamedTuple):
    """Seconds by the clock; `parts` are the bare ones, and `ratio` is planning to their sum. `rss_mib` is the most this process ever had."""

    users: int
    rows: int
    seconds: float
    users_per_s: float
    rss_mib: float
    parts: dict[str, float]
    bare_seconds: float
    ratio: float


def plan(users: int, tell: Tell) -> Planned:
    """Measures once, and tells in words what it is at.

    Raises:
        RuntimeError: not everybody of the audience got a row.
    """
    with own_postgres() as (folder, postgres):
        return uvloop.run(_measure(postgres.dsn(role=SUPERUSER), folder / "rows", users, tell))


async def _measure(dsn: str, rows_file: Path, users: int, tell: Tell) -> Planned:
    await migrate(dsn)
    async with await open_pool(dsn, POOL_MAX) as pool:
        tell(f"making {users:,} people")
        async with pool.acquire() as connection:
            await plan_bench_world.fill(connection, users)
            await partitions_by_day.ensure(connection, plan_bench_world.NOW)
        snapshot = SnapshotCache(pool)
        await Composer(pool).publish(plan_bench_world.NOW)
        await snapshot.refresh()
        moments = LearnedMoments(snapshot)
        tell("reading the audience, bare")
        copy_out = await seconds_of(lambda: _copy_out(pool, moments.current().rhythm_bytes))
        tell("drawing moments, bare")
        kernels = await asyncio.to_thread(_kernels, moments.current(), users)
        tell("planning")
        began = time.perf_counter()
        rows = await Planner(pool, moments, SEED, meter=_Progress(tell)).plan_due(plan_bench_world.NOW)
        seconds = time.perf_counter() - began
        tell("writing the rows, bare")
        copy_in = await _copy_in(pool, rows_file)
    if rows < 0.9 * users:
        raise RuntimeError(f"of {users} people {rows} were planned")
    parts = {"copy_out": copy_out, "kernels": kernels, "copy_in": copy_in}
    bare, rss_mib = sum(parts.values()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Planned(users, rows, seconds, users / seconds, rss_mib, parts, bare, seconds / bare)


class _Progress(Unmetered):
    """Tells every tenth of the people."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._tenths = 0
        self._rows = 0

    def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
        self._rows += rows
        if int(10 * share) > self._tenths:
            self._tenths = int(10 * share)
            self._tell(f"{campaign.campaign.campaign_id}: {share:.0%} of the people, {self._rows:,} rows")


async def _copy_out(pool: Any, width: int) -> None:
    async def drop(data: bytes) -> None: ...

    given = (*audience.asked(Audience(), plan_bench_world.NOW), 0, audience.ZONE_BYTES, width)
    async with pool.acquire() as connection:
        await connection.copy_from_query(audience.AUDIENCE, *given, output=drop, format="binary", timeout=600)


def _kernels(moments: Moments, users: int) -> float:
    """Seconds of the draw alone, on rhythms that lie in memory."""
    seconds = 0.0
    allowed = np.ones((1, HOURS), np.bool_)
    for packed in plan_bench_world.rhythms(users):
        people = len(packed)
        rhythms = Rhythms(packed, np.full(people, moments.rhythm_bytes))
        uniforms = np.linspace(0.0, 1.0, people + 2)[1:-1]
        began = time.perf_counter()
        moments.draw(rhythms, allowed, np.zeros(people, np.int64), uniforms)
        seconds += time.perf_counter() - began
    return seconds


async def _copy_in(pool: Any, rows_file: Path) -> float:
    """The planned rows are put aside, and written once more into the empty table."""
    async with pool.acquire() as connection:
        await connection.copy_from_query("select * from outbox", output=rows_file, format="binary", timeout=600)
        await connection.execute("truncate outbox")
        await connection.execute("checkpoint", timeout=600)
        began = time.perf_counter()
        await connection.copy_to_table("outbox", source=chunks(rows_file), format="binary", timeout=600)
        return time.perf_counter() - began
