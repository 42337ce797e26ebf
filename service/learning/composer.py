"""Composes the snapshot from the sums of all partitions, and publishes it unless it is not fit to decide by."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bandits import epoch as epochs_of
from bandits import personal, population, posterior
from bandits.epoch import UNKNOWN, Epoch
from bandits.features import FEATURE_SET, LINK, PRIORS, RANGES
from bandits.policies import model
from bandits.population import Population
from schema.ids import PARTITIONS
from schema.snapshot import Snapshot
from service.learning import books
from service.store import epochs, partitions, snapshots, taste_maps
from service.store.partitions import Counted
from service.store.snapshots import SnapshotDamagedError
from service.store.taste_maps import Learned
from service.telemetry import SNAPSHOTS_REFUSED, logger

AGES_S: Final = 3600.0
"""Without new entries exposures still ripen: a snapshot older than this is composed again."""

_LOG: Final = logger("composer")


class Composer:
    """Publishes snapshots; remembers the last one of this process."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._last: Snapshot | None = None

    async def publish(self, now: datetime) -> bool:
        """Composes and publishes; False when the result was refused (the last snapshot stays) or another publisher was quicker."""
        async with self._pool.acquire() as connection:
            version = await snapshots.newest_version(connection) + 1
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                epoch = await _epoch(connection)
                counted = await partitions.load(connection)
                packed = await partitions.load_sums(connection) if epoch is not None else {}
                mapped = await taste_maps.newest(connection)
            try:
                # Off the event loop: an inverse for each head, and sums of a thousand rows.
                snapshot = await asyncio.to_thread(
                    compose, version, epoch or epochs_of.begin(PRIORS, LINK), counted, packed, now.timestamp(), mapped
                )
            except ValueError as error:
                SNAPSHOTS_REFUSED.inc()
                _LOG.error("a snapshot was refused", version=version, reason=str(error))
                return False
            is_published = await snapshots.publish(connection, snapshot)
        if is_published:
            self._last = snapshot
        return is_published

    async def publish_if_changed(self, now: datetime, min_interval_s: float = 1.0) -> bool:
        """Publishes when something was learned since the last snapshot, or it has aged; the first one from the prior alone."""
        last = self._last or await self._stored()
        if last is None:
            return await self.publish(now)
        self._last = last
        age_s = now.timestamp() - last.published_at_s
        if 0.0 <= age_s < min_interval_s:  # one of the future is of a clock that was set back since
            return False
        async with self._pool.acquire() as connection:
            if not await _has_more(connection, last, age_s):
                return False
        return await self.publish(now)

    async def _stored(self) -> Snapshot | None:
        try:
            async with self._pool.acquire() as connection:
                return await snapshots.latest(connection)
        except SnapshotDamagedError as error:
            _LOG.error("the newest snapshot is made anew", reason=str(error))
            return None


def compose(
    version: int,
    epoch: Epoch,
    counted: Mapping[int, Counted],
    packed: Mapping[tuple[int, int], bytes],
    now_s: float,
    mapped: Learned | None = None,
) -> Snapshot:
    """The snapshot of everything counted, as of now_s. Pure: which cohorts the learner has closed makes no difference.

    Raises:
        ValueError: sums cannot be read, or what they give is not fit to decide by (NotAPosteriorError, DamagedSnapshotError).
    """
    by_cohort = books.joined_packed(packed, now_s)
    heads = posterior.compose(by_cohort, PRIORS, RANGES, epoch, now_s)
    everyone = Population()
    for partition in sorted(counted):
        everyone.add(population.unpack(counted[partition].population))
    snapshot = Snapshot(
        version=version,
        published_at_s=now_s,
        feature_set=FEATURE_SET,
        heads=[model.head_of(one, mode) for one, mode in zip(heads, epoch.modes, strict=True)],
        tag_shares=everyone.tag_shares().astype("<f4").tobytes(),
        hour_shares=everyone.hour_shares().astype("<f4").tobytes(),
        baskets=everyone.baskets_at(now_s),
        offsets=_offsets(counted),
        link=epoch.link,
        epoch=epoch.number,
        personal_variances=_variances(mapped),
        taste_map=0 if mapped is None else mapped.version,
        recent_shares=everyone.recent_shares(now_s).astype("<f4").tobytes(),
    )
    model.from_snapshot(snapshot)  # the check that every process makes before it decides by it
    return snapshot


async def _has_more(connection: Any, last: Snapshot, age_s: float) -> bool:
    """Whether there is more to be said now than the last snapshot says."""
    stored = await epochs.latest(connection)
    if stored is not None and books.is_newer(stored):
        return False  # what this program could say is the prior; a newer one publishes
    if stored is None or not books.is_ours(stored):
        return age_s >= AGES_S or _offsets(await partitions.load(connection)) != last.offsets
    if stored.fitted == UNKNOWN and (last.feature_set, last.link) == (FEATURE_SET, LINK):
        return False  # the sums are lost until the refit that is due
    if age_s >= AGES_S or stored.epoch.number != last.epoch:
        return True
    return _offsets(await partitions.load(connection)) != last.offsets


async def _epoch(connection: Any) -> Epoch | None:
    """The epoch in force; None before a learner has begun one for the features of this program."""
    stored = await epochs.latest(connection)
    return stored.epoch if stored is not None and books.is_ours(stored) else None


def _variances(mapped: Learned | None) -> list[float]:
    """Prior variances of the personal blocks; none under the identity link, which has no personal layer."""
    if LINK == "identity":
        return []
    return list(personal.VARIANCES) if mapped is None else mapped.variances


def _offsets(counted: Mapping[int, Counted]) -> list[int]:
    return [counted[partition].place.last_seq for partition in range(PARTITIONS)]
