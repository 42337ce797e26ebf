"""Fits the shared model anew to all exposures, and puts the result in force as the next epoch.

While Newton runs over a copy of all exposures, learners go on counting in the old epoch. Then, for a moment, nobody counts: what changed
since the copy was made is taken into the new sums, and they replace the old ones together with the epoch. Whoever remembers the old ones
finds every partition changed, and loads them again.
"""

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import delay, population, posterior, refit, sums
from bandits.epoch import Epoch, Extent, is_due
from bandits.features import DIMS, FEATURE_SET, PRIORS, RANGES
from bandits.laplace import NotAPosteriorError
from bandits.policies import model
from bandits.policies.model import DamagedSnapshotError
from bandits.refit import Refitted
from bandits.sums import Ledger, Rows, Sums
from service.learning import books
from service.learning.books import Key
from service.store import epochs, exposure_rows, partitions, session_lock, snapshots
from service.store.epochs import EXPOSURES_KEPT_FOR, StoredEpoch
from service.store.exposure_rows import Spool
from service.store.snapshots import SnapshotDamagedError
from service.telemetry import EPOCH, REFITS_REFUSED, logger

F64 = npt.NDArray[np.float64]

LOCK: Final = 0x7265666974  # any bigint, the same in every process
PARTITION: Final = 0
"""Where the sums of a refit lie. Only the total over all partitions is used, and what is counted or taken back later lies where it is told."""

PAUSE_S: Final = 5.0
PAUSE_MAX_S: Final = 600.0
"""After the second failure in a row nothing is tried for PAUSE_S, and each time for twice as long: every try reads all exposures."""

_LOG: Final = logger("refit")


class _Overtaken(Exception):
    """Another epoch was put in force meanwhile."""


class _Task(NamedTuple):
    """What a refit starts from: the epoch in force, when people come, and the instant."""

    before: StoredEpoch
    visits: F64
    now_s: float


class Refitter:
    """Puts new epochs in force. Any number may run; one at a time works. Each failure in a row makes it wait longer, and one that was refused waits for news."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._refused: Extent | None = None
        self._failures = 0
        self._not_before: datetime | None = None

    async def refit_if_due(self, now: datetime) -> bool:
        """Fits when enough has been counted since the last time; False when not, when refused, or when another is at it."""
        if self._not_before is not None and now < self._not_before:
            return False
        async with self._pool.acquire() as connection, session_lock.alone(connection, LOCK) as is_alone:
            try:
                return is_alone and await self._refit(connection, now)
            except _Overtaken:
                return False
            except Exception:
                self._failed(now)
                raise

    def _failed(self, now: datetime) -> None:
        self._failures += 1
        pause_s = min(PAUSE_S * (2 ** (self._failures - 1) - 1), PAUSE_MAX_S)
        self._not_before = now + timedelta(seconds=pause_s)

    async def _refit(self, connection: Any, now: datetime) -> bool:
        async with contextlib.AsyncExitStack() as stack:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                stored = await epochs.latest(connection)
                if stored is None or not books.is_ours(stored):
                    return False  # a learner begins one
                packed = await partitions.load_sums(connection)
                people = [counted.population for counted in (await partitions.load(connection)).values()]
                task, extent, reach = await asyncio.to_thread(_look, stored, packed, people, now.timestamp())
                age_s = (now - stored.begun_at).total_seconds()
                if not is_due(extent, self._refused or stored.fitted, reach, age_s):
                    return False
                spool = await stack.enter_async_context(exposure_rows.spool(connection, now - EXPOSURES_KEPT_FOR))
            try:
                fitted = await _fit(connection, task, spool, now)
            except NotAPosteriorError as error:
                self._refused = extent
                self._failed(now)
                REFITS_REFUSED.inc()
                _LOG.error("a refit was refused", reason=str(error))
                return False
        self._refused, self._failures, self._not_before = None, 0, None
        EPOCH.set(fitted.epoch.number)
        _LOG.info(
            "a new epoch is in force",
            epoch=fitted.epoch.number,
            exposures=len(spool),
            steps=fitted.steps,
            dispersions=fitted.epoch.dispersions.round(3).tolist(),
        )
        return True


async def _fit(connection: Any, task: _Task, spool: Spool, now: datetime) -> Refitted:
    before = task.before.epoch
    starts = await _published_means(connection, before)
    told = await asyncio.to_thread(refit.tellings, spool.blocks, task.visits, task.now_s)
    fitted = await asyncio.to_thread(refit.refit, spool.blocks, PRIORS, before, starts, told, task.now_s)
    counted = await asyncio.to_thread(_count, spool, fitted.epoch, task.now_s)
    await _put_in_force(connection, task, spool, fitted, counted, now)
    return fitted


def _look(
    stored: StoredEpoch, packed: dict[Key, bytes], people: list[bytes], now_s: float
) -> tuple[_Task, Extent, float]:
    """What there is to do, how much has been counted, and how far a step from the mode in force would reach."""
    cohorts = books.joined_packed(packed, now_s)
    try:
        reach = posterior.reach(posterior.compose(cohorts, PRIORS, RANGES, stored.epoch, now_s))
    except NotAPosteriorError:
        reach = float("inf")  # sums that nothing can be decided by: made anew they may be better
    visits = sum((population.unpack(one).day_visits(now_s) for one in people), np.zeros(7))
    return _Task(stored, visits, now_s), posterior.extent(cohorts, stored.epoch, now_s), reach


async def _published_means(connection: Any, epoch: Epoch) -> F64:
    """The means decided by now, (heads, d): as a rule nearer to the new modes than the old modes are."""
    try:
        latest = await snapshots.latest(connection)
        if latest is not None and latest.feature_set == FEATURE_SET and latest.link == epoch.link:
            return model.from_snapshot(latest).means.astype(np.float64)
    except (SnapshotDamagedError, DamagedSnapshotError):
        pass
    return epoch.modes


def _count(spool: Spool, epoch: Epoch, now_s: float) -> dict[Key, Sums]:
    counted: dict[Key, Sums] = {}
    for rows in spool.blocks():
        _enter(counted, rows, epoch, now_s)
    return counted


def _enter(counted: dict[Key, Sums], rows: Rows, epoch: Epoch, now_s: float) -> None:
    cohorts, place = np.unique(delay.cohorts_at(rows.exposed_at_s, now_s), return_inverse=True)
    ledger = Ledger(len(cohorts), DIMS, epoch).add(rows, place.astype(np.int64))
    for group, cohort in enumerate(cohorts.tolist()):
        counted.setdefault((PARTITION, cohort), Sums(DIMS)).add(ledger.sums(group))


async def _put_in_force(
    connection: Any, task: _Task, spool: Spool, fitted: Refitted, counted: dict[Key, Sums], now: datetime
) -> None:
    async with connection.transaction():
        await partitions.hold_all(connection)
        in_force = await epochs.latest(connection)
        if in_force is None or in_force.epoch.number != task.before.epoch.number:
            raise _Overtaken
        changed = await exposure_rows.changed_since(connection, spool)
        extent = await asyncio.to_thread(_finish, counted, spool, changed, fitted.epoch, task.now_s)
        await epochs.add(connection, StoredEpoch(fitted.epoch, FEATURE_SET, extent, now), fitted.objectives)
        await partitions.replace_sums(connection, {key: counted[key].pack() for key in sorted(counted)})


def _finish(counted: dict[Key, Sums], spool: Spool, changed: Spool, epoch: Epoch, now_s: float) -> Extent:
    """Takes what changed meanwhile into the sums; gives the extent of what was fitted.

    Raises:
        NotAPosteriorError: nothing could be decided by these sums.
    """
    extent = posterior.extent(books.joined(counted, now_s), epoch, now_s)
    for rows in spool.of(changed).blocks():
        _enter(counted, sums.taken_back(rows), epoch, now_s)
    for rows in changed.blocks():
        _enter(counted, rows, epoch, now_s)
    posterior.compose(books.joined(counted, now_s), PRIORS, RANGES, epoch, now_s)
    return extent
