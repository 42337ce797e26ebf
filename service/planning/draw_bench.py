"""What drawing costs on this machine, from rows of the outbox that are due to logged decisions, beside its bare parts of the same run.

The bare parts are what nobody can do without: the due rows and what is known of their people read by one COPY (binary, nothing made of it),
the kernel on people that lie in memory, the very decisions written by one COPY into their table with its indexes, and the rows of the outbox
changed by one statement.
"""

import asyncio
import resource
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import uvloop

from bandits.kernels.draw_many import draw_many
from bandits.policies import draw_together
from bandits.policies.draw_together import Drawer
from bandits.policies.model import Model
from bandits.policies.scores import REDEEM
from push.drawing.due import BACKLOG_ROWS
from schema.decision import Context, DecisionInputs
from service.decision import many, policy
from service.decision.pipeline import terms_of
from service.decision.together import goods
from service.learning.composer import Composer
from service.planning import draw_bench_drawers, draw_bench_world
from service.planning.bench_postgres import Tell, chunks, own_postgres, seconds_of
from service.planning.draw_bench_world import NOW
from service.store import catalogue as catalogues
from service.store import partitions_by_day
from service.store.catalogue import Catalogue
from service.store.current_snapshot import SnapshotCache
from service.store.embedded import SUPERUSER
from service.store.migrate import migrate
from service.store.pool import open_pool

TELL_EVERY_BATCHES: Final = 10
KERNEL_PEOPLE_MAX: Final = 20_000
"""So many are drawn by the bare kernel, and their seconds scaled to all."""


_READ: Final = """
    select o.user_id, o.campaign_id, o.occurrence_at, o.outbox_id, o.send_until, o.expires_at, u.version, u.time_zone, u.birth_date,
           u.has_push_consent, u.has_personalization_consent, u.opted_out_at, u.muted_until, u.vetoed_offer_ids, u.snoozed_offer_ids,
           u.snoozed_until, u.created_at, u.quiet_minutes, u.pushes_per_day_max, u.pushes_per_week_max, s.tastes, s.personal, c.sent
      from outbox o join users u using (user_id) left join user_state s using (user_id) left join contacts c using (user_id)
     where o.state = 0 and o.send_at <= $1
"""
_PUT_ASIDE: Final = """
    create unlogged table drawn as select user_id, campaign_id, occurrence_at, channel, state, outcome, decision_id, offer_id, message,
           reservation_id, settled_at from outbox
"""
_CHANGE: Final = """
    update outbox o set state = d.state, decision_id = d.decision_id, offer_id = d.offer_id, message = d.message, outcome = d.outcome,
           reservation_id = d.reservation_id,
           settled_at = d.settled_at
      from drawn d
     where o.user_id = d.user_id and o.campaign_id = d.campaign_id and o.occurrence_at = d.occurrence_at and o.channel = d.channel
"""


class Drawn(NamedTuple):
    """Seconds by the clock of two processes; `parts` are the bare ones, one after the other, and `ratio` is drawing to their sum.

    `rss_mib` is the most this process ever had.
    """

    rows: int
    seconds: float
    rows_per_s: float
    rss_mib: float
    parts: dict[str, float]
    bare_seconds: float
    ratio: float


def draw(users: int, tell: Tell) -> Drawn:
    """Measures once, and tells in words what it is at.

    Raises:
        RuntimeError: something that was due was not drawn, or cannot be.
    """
    with own_postgres() as (folder, postgres):
        return uvloop.run(_measure(postgres.dsn(role=SUPERUSER), folder / "decisions", users, tell))


async def _measure(dsn: str, aside: Path, users: int, tell: Tell) -> Drawn:
    await migrate(dsn)
    async with await open_pool(dsn, draw_bench_drawers.POOL_MAX, waits_for_disk=False) as pool:
        tell(f"making {users:,} people with tastes")
        async with pool.acquire() as connection:
            await draw_bench_world.fill(connection, users)
            await partitions_by_day.ensure(connection, NOW)
            rows = await draw_bench_world.plan(connection)
        await Composer(pool).publish(NOW)
        snapshot = SnapshotCache(pool)
        await snapshot.refresh()
        tell("reading what is due, bare")
        parts = {"read": await seconds_of(lambda: _read(pool))}
        tell("drawing, the kernel alone")
        async with pool.acquire() as connection:
            shop = await catalogues.load(connection)
        parts["kernel"] = _kernel(shop, snapshot.current, rows)
        tell("drawing")
        drawn, seconds = await _draw(dsn, pool, _Progress(rows, tell))
        rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        async with pool.acquire() as connection:
            tell("writing the decisions, bare")
            parts["log"] = await _log(connection, aside)
            tell("changing the outbox, bare")
            parts["outbox"] = await _change(connection)
    if drawn != rows:
        raise RuntimeError(f"of {rows} rows {drawn} were drawn")
    bare = sum(parts.values())
    return Drawn(rows, seconds, rows / seconds, rss_mib, parts, bare, seconds / bare)


async def _draw(dsn: str, pool: Any, progress: "_Progress") -> tuple[int, float]:
    """Rows and seconds of two processes that begin together."""
    mine = await draw_bench_drawers.drawer(pool)
    async with draw_bench_drawers.another(dsn) as process:
        began = time.perf_counter()
        drawn = await asyncio.gather(mine.draw_due(progress.now), draw_bench_drawers.draws(process))
        return sum(drawn), time.perf_counter() - began


class _Progress:
    """The clock of our own drawer, which stands still, and is read once a batch; every tenth batch is told."""

    def __init__(self, rows: int, tell: Tell) -> None:
        self._rows = rows
        self._tell = tell
        self._batches = 0

    async def now(self) -> datetime:
        """NOW."""
        if self._batches % TELL_EVERY_BATCHES == 1:
            self._tell(f"one of two processes has drawn about {self._batches * BACKLOG_ROWS:,} of {self._rows:,} rows")
        self._batches += 1
        return NOW


async def _read(pool: Any) -> None:
    async def drop(data: bytes) -> None: ...

    async with pool.acquire() as connection:
        await connection.copy_from_query(_READ, NOW, output=drop, format="binary", timeout=600)


def _kernel(shop: Catalogue, model: Model | None, rows: int) -> float:
    """Seconds of the kernel alone for so many rows, on people that lie in memory.

    Raises:
        RuntimeError: somebody could not be drawn for.
    """
    if model is None:
        raise RuntimeError("no snapshot has been loaded")
    user_ids = np.arange(1, min(rows, KERNEL_PEOPLE_MAX) + 1)
    tastes, sums = draw_bench_world.tastes(user_ids), draw_bench_world.sums(user_ids)
    everything = np.arange(len(shop.ids))
    given = [
        Drawer(taste.tobytes(), own.tobytes(), True, 12, False, everything, int(user_id))
        for user_id, taste, own in zip(user_ids, tastes, sums, strict=True)
    ]
    asked = DecisionInputs(
        rules=policy.push_rules(policy.VALUE_OPEN, policy.VALUE_REDEEM, 0.0),
        context=Context(),
        local_hour=12,
        may_personalise=True,
        basket_tag_ids=[],
        dispersion=float(model.dispersions[REDEEM]),
        decided_at=NOW,
    )
    terms = terms_of(asked, b"", in_control=False)
    shelf, seconds = goods.of(shop, model), 0.0
    for begin in range(0, len(given), many.CALL):
        laid_out = draw_together.laid_out(model, shelf, terms, given[begin : begin + many.CALL], NOW.timestamp())
        began = time.perf_counter()
        draws = draw_many(*laid_out)
        seconds += time.perf_counter() - began
        if not draws.filled.all():
            raise RuntimeError("somebody could not be drawn for")
    return seconds * rows / len(given)


async def _log(connection: Any, aside: Path) -> float:
    """The decisions are put aside, and written once more into the empty table."""
    await connection.copy_from_query("select * from decisions", output=aside, format="binary", timeout=600)
    await connection.execute("truncate decisions")
    await connection.execute("checkpoint", timeout=600)
    began = time.perf_counter()
    await connection.copy_to_table("decisions", source=chunks(aside), format="binary", timeout=600)
    return time.perf_counter() - began


async def _change(connection: Any) -> float:
    """What was drawn is put aside, the rows are planned once more, and changed by one statement."""
    await connection.execute(_PUT_ASIDE, timeout=600)
    await connection.execute("vacuum (analyze) drawn", timeout=600)
    await draw_bench_world.plan(connection)
    began = time.perf_counter()
    await connection.execute(_CHANGE, timeout=600)
    return time.perf_counter() - began
