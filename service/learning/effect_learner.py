"""Learns what pushes add, for campaigns that ask for it: daily, and sooner while there is little to learn from."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from bandits import incremental, incremental_fit
from bandits.incremental import NotAnEffectError, Own
from bandits.incremental_fit import Learned
from bandits.laplace import NotAPosteriorError
from service import telemetry
from service.store import effects, push_windows
from service.store.effects import EffectDamagedError, EffectMissingError, Published
from service.store.push_windows import Count, Read

EVERY: Final = timedelta(days=1)
GROWTH: Final = 1.25
"""With so many times as many windows as were learned from it is learned anew, whatever its age, while they are few."""

FEW: Final = 10_000
WINDOWS_MAX: Final = 200_000
"""About so many are in memory at most, some 200 MB while they are learned from: of more people's, those of a fixed sample of the people."""

_LOG: Final = telemetry.logger("effect")


class EffectLearner:
    """Learns effects; any number may run, one of them is quicker."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._refused_at: datetime | None = None

    async def learn_if_due(self, now: datetime) -> bool:
        """Whether a new effect has been put in force."""
        async with self._pool.acquire() as connection:
            if not await effects.is_asked_for(connection):
                return False
            before = await effects.newest(connection)
            count = await self._due(connection, before, now)
            return count is not None and await self._learn(connection, before, count, now)

    async def _due(self, connection: Any, before: Published | None, now: datetime) -> Count | None:
        """How much there is to learn from; None when it is not time."""
        if self._refused_at is not None and now - self._refused_at < EVERY:
            return None
        is_young = before is not None and before.is_ours and now - before.learned_at < EVERY
        if before is not None and is_young and before.windows > FEW:
            return None
        count = await push_windows.count(connection, now)
        has_grown = before is None or count.windows >= GROWTH * before.windows
        return count if count.windows and (has_grown or not is_young) else None

    async def _learn(self, connection: Any, before: Published | None, count: Count, now: datetime) -> bool:
        read = await push_windows.read(connection, now, min(1.0, WINDOWS_MAX / count.windows))
        try:
            start = await _start(connection, before, read)
            # Off the event loop: seconds of linear algebra.
            learned = await asyncio.to_thread(_learned, read, start, now)
        except (NotAPosteriorError, NotAnEffectError) as error:
            self._refused_at = now
            telemetry.EFFECTS_REFUSED.inc()
            _LOG.error("an effect is refused", windows=count.windows, reason=str(error))
            return False
        version = 1 if before is None else before.version + 1
        told = Published(version, now, *count)
        is_added = await effects.publish(connection, told, learned.effect, *_own(read, learned))
        if is_added:
            _LOG.info("a new effect of pushes is in force", version=version, **count._asdict())
        return is_added


async def _start(connection: Any, before: Published | None, read: Read) -> Learned:
    """Where the fit begins: at what was learned last, of people of whom something was; else at the prior."""
    unknown = incremental_fit.unknown(len(read.people))
    if before is None or not before.is_ours:
        return unknown
    try:
        effect = (await effects.load(connection, before.version)).effect
    except (EffectDamagedError, EffectMissingError):
        return unknown
    parts = await effects.own_parts(connection, read.people.tolist())
    mean = np.array([parts[user_id].mean if user_id in parts else 0.0 for user_id in read.people.tolist()])
    return Learned(effect, Own(mean, np.full(len(mean), effect.own_variance)))


def _learned(read: Read, start: Learned, now: datetime) -> Learned:
    with np.errstate(all="ignore"):  # what overflows is no number, and that is looked for
        learned = incremental_fit.learn(read.windows, read.redeemed, start, now.timestamp())
    incremental.known(learned.effect)
    if not (np.isfinite(learned.own.mean).all() and (learned.own.variance > 0.0).all()):
        raise NotAnEffectError("somebody's own part is not finite")
    return learned


def _own(read: Read, learned: Learned) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Own]:
    """Those of whom something was learned: who has never been sent anything still has the prior."""
    windows = read.windows
    sent = np.unique(windows.person[(windows.is_sent > 0.0) & (windows.person != incremental_fit.NOBODY)])
    return read.people[sent], Own(learned.own.mean[sent], learned.own.variance[sent])
