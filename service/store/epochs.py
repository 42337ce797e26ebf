"""Epochs of the shared model in PostgreSQL: the mode at which all sums are linearised, and what it was fitted to."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np

from bandits import delay
from bandits.delay import WINDOWS_S, Telling
from bandits.epoch import Epoch, Extent
from bandits.event_time import HALF_LIFE_S

EXPOSURES_KEPT_FOR: Final = timedelta(seconds=5 * HALF_LIFE_S)
"""What is older has 3 % of the weight there is in a steady business."""

_LATEST: Final = """
    select number, feature_set, link, begun_at, modes, dispersions, tellings, exposures, answers, matured from epochs order by number desc limit 1
"""
_ADD: Final = """
    insert into epochs (number, feature_set, link, begun_at, modes, dispersions, tellings, objectives, exposures, answers, matured)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


class StoredEpoch(NamedTuple):
    """An epoch, the set of features it is of, how much had been counted when it was fitted, and when that was."""

    epoch: Epoch
    feature_set: int
    fitted: Extent
    begun_at: datetime

    @property
    def counted_since(self) -> datetime:
        """Exposures that were decided before this are not in its sums any more."""
        return self.begun_at - EXPOSURES_KEPT_FOR


async def latest(connection: Any) -> StoredEpoch | None:
    """The epoch in force; None before the first."""
    row = await connection.fetchrow(_LATEST)
    if row is None:
        return None
    number, feature_set, link, begun_at, modes, dispersions, tellings, *fitted = row
    shape = (len(dispersions), -1)
    modes = np.frombuffer(modes, "<f8").reshape(shape)
    epoch = Epoch(number, link, modes, np.array(dispersions), _unpacked(tellings))
    return StoredEpoch(epoch, feature_set, Extent(*fitted), begun_at)


async def add(connection: Any, stored: StoredEpoch, objectives: Sequence[float]) -> None:
    """Puts an epoch in force. The caller's transaction holds all partitions and replaces their sums.

    Raises:
        asyncpg.UniqueViolationError: there is an epoch of that number.
    """
    epoch = stored.epoch
    modes = epoch.modes.astype("<f8").tobytes()
    tellings = np.concatenate([part for telling in epoch.tellings for part in telling]).astype("<f8").tobytes()
    head = (epoch.number, stored.feature_set, epoch.link, stored.begun_at, modes, epoch.dispersions.tolist(), tellings)
    await connection.execute(_ADD, *head, list(objectives), *stored.fitted)


def _unpacked(tellings: bytes | None) -> tuple[Telling, ...]:
    """By head the rates and the rhythm; what nothing is known of when an older program fitted the epoch."""
    if tellings is None:
        return tuple(delay.unknown(window_s) for window_s in WINDOWS_S)
    by_head = np.frombuffer(tellings, "<f8").reshape(len(WINDOWS_S), -1)
    return tuple(Telling(one[: -delay.HOURS], one[-delay.HOURS :]) for one in by_head)
