"""What the learner has counted so far, kept in memory between passes and written back by each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bandits import delay, epoch, population, sums
from bandits.epoch import NOTHING, UNKNOWN, Epoch
from bandits.features import DIMS, FEATURE_SET, LINK, PRIORS
from bandits.population import Population
from bandits.sums import Sums
from service.learning.fold import Changes
from service.store import epochs, partitions
from service.store.epochs import StoredEpoch
from service.store.partitions import Place

Key = tuple[int, int]
"""Partition and cohort."""


class OvertakenError(Exception):
    """Another learner has counted the same, or what we remember was changed by somebody else."""


class NewerProgramError(Exception):
    """The sums are of a newer program than this one, which must leave them alone."""


@dataclass(slots=True)
class Books:
    """Places and populations by partition, sums by (partition, cohort), and the epoch they are linearised in.

    Good only as long as every `advance` succeeds and every transaction commits: after anything else they must be thrown away.
    """

    places: dict[int, Place]
    populations: dict[int, Population]
    sums: dict[Key, Sums]
    epoch: Epoch

    @property
    def ripe_through(self) -> datetime:
        """How far unredeemed showings have been counted in people's own parts."""
        return next(iter(self.places.values())).ripe_through

    async def advance(self, connection: Any, moves: Mapping[int, int]) -> None:
        """Moves partitions to the given last_seq.

        Raises:
            OvertakenError: somebody else has changed one of them.
        """
        await self._move(connection, {p: self.places[p]._replace(last_seq=seq) for p, seq in moves.items()})

    async def ripen(self, connection: Any, through: datetime) -> None:
        """Moves all partitions to the given ripe_through.

        Raises:
            OvertakenError: somebody else has changed one of them.
        """
        await self._move(connection, {p: place._replace(ripe_through=through) for p, place in self.places.items()})

    async def _move(self, connection: Any, targets: Mapping[int, Place]) -> None:
        if not await partitions.advance(connection, targets):
            raise OvertakenError
        for partition, place in targets.items():
            self.places[partition] = place._replace(revision=place.revision + 1)

    async def add(self, connection: Any, changes: Changes, now_s: float) -> None:
        """Adds what a pass counted, in memory and in the database; its partitions have been advanced in this transaction."""
        for partition, counted in changes.populations.items():
            self.populations[partition].add(counted)
        keys = list(changes.rows)
        for key, rows in changes.rows.items():
            self.sums.setdefault(key, Sums(DIMS)).add(sums.count(rows, self.epoch))
        touched = {partition for partition, _ in keys}
        settled = {key: (key[0], delay.settled(key[1], now_s)) for key in sorted(self.sums) if key[0] in touched}
        older = [key for key, into in settled.items() if into != key]
        for key in older:
            self.sums.setdefault(settled[key], Sums(DIMS)).add(self.sums.pop(key))
        changed = ({*keys} | {settled[key] for key in older}) - set(older)
        if changes.populations or changed:
            people = {partition: self.populations[partition].pack() for partition in changes.populations}
            await partitions.put(connection, people, {key: self.sums[key].pack() for key in sorted(changed)}, older)


async def load(connection: Any, now: datetime) -> Books:
    """Everything that was counted. Without an epoch, or with one of an older program, one is begun at the prior.

    Raises:
        NewerProgramError: the epoch in force is of a newer program: of two releases side by side the older one waits.
    """
    while True:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            stored = await epochs.latest(connection)
            counted = await partitions.load(connection)
            packed = await partitions.load_sums(connection)
        if stored is not None and is_ours(stored):
            break
        if stored is not None and is_newer(stored):
            raise NewerProgramError(
                f"the sums are of feature set {stored.feature_set}, this program's is {FEATURE_SET}"
            )
        await _begin(connection, now)
    return Books(
        {partition: one.place for partition, one in counted.items()},
        {partition: population.unpack(one.population) for partition, one in counted.items()},
        {key: sums.unpack(data, DIMS) for key, data in packed.items()},
        stored.epoch,
    )


def is_ours(stored: StoredEpoch) -> bool:
    """Whether sums of this epoch are of the features and the link of this program."""
    shape = (len(PRIORS), DIMS)
    return stored.feature_set == FEATURE_SET and stored.epoch.link == LINK and stored.epoch.modes.shape == shape


def is_newer(stored: StoredEpoch) -> bool:
    """Whether sums of this epoch are of a program that knows more than this one."""
    return stored.feature_set >= FEATURE_SET and not is_ours(stored)


async def _begin(connection: Any, now: datetime) -> None:
    async with connection.transaction():
        await partitions.hold_all(connection)
        before = await epochs.latest(connection)
        if before is not None and before.feature_set >= FEATURE_SET:
            return  # another learner was quicker
        number = 0 if before is None else before.epoch.number + 1
        fitted = NOTHING if before is None else UNKNOWN
        await epochs.add(connection, StoredEpoch(epoch.begin(PRIORS, LINK, number), FEATURE_SET, fitted, now), ())
        await partitions.replace_sums(connection, {})


def joined(counted: Mapping[Key, Sums], now_s: float) -> dict[int, Sums]:
    """The sums of all partitions by cohort. Which cohorts a learner has joined by now makes no difference."""
    cohorts: dict[int, Sums] = {}
    for (_, kept), of_partition in sorted(counted.items()):
        cohorts.setdefault(delay.settled(kept, now_s), Sums(DIMS)).add(of_partition)
    return cohorts


def joined_packed(packed: Mapping[Key, bytes], now_s: float) -> dict[int, Sums]:
    """As `joined`, of sums as they are stored.

    Raises:
        ValueError: some cannot be read.
    """
    cohorts: dict[int, Sums] = {}
    for (_, kept), data in sorted(packed.items()):
        cohort = delay.settled(kept, now_s)
        if cohort not in cohorts:
            cohorts[cohort] = Sums(DIMS)
        cohorts[cohort].add_packed(data)
    return cohorts
