"""What the learner has counted so far, kept in memory between passes and written back by each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bandits import population, posterior
from bandits.features import DIMS
from bandits.population import Population
from bandits.posterior import CLOSED, Sums
from service.learning.fold import Changes
from service.store import partitions
from service.store.partitions import Place


@dataclass(slots=True)
class Books:
    """Places and populations by partition, sums by (partition, cohort).

    Good only as long as every `advance` succeeds and every transaction commits: after anything else they must be thrown away.
    """

    places: dict[int, Place]
    populations: dict[int, Population]
    sums: dict[tuple[int, int], Sums]

    async def advance(self, connection: Any, moves: Mapping[int, int]) -> bool:
        """Moves partitions to the given last_seq; False when somebody else has changed one of them."""
        targets = {partition: self.places[partition]._replace(last_seq=seq) for partition, seq in moves.items()}
        if not await partitions.advance(connection, targets):
            return False
        for partition, place in targets.items():
            self.places[partition] = place._replace(revision=place.revision + 1)
        return True

    async def add(self, connection: Any, changes: Changes, now_s: float) -> None:
        """Adds what a pass counted, in memory and in the database; its partitions have been advanced in this transaction."""
        for partition, counted in changes.populations.items():
            self.populations[partition].add(counted)
        for key, sums in changes.sums.items():
            self.sums.setdefault(key, Sums(DIMS)).add(sums)
        touched = {partition for partition, _ in changes.sums}
        closed = [
            key for key in self.sums if key[0] in touched and key[1] != CLOSED and posterior.is_closed(key[1], now_s)
        ]
        for key in closed:
            self.sums.setdefault((key[0], CLOSED), Sums(DIMS)).add(self.sums.pop(key))
        changed = (changes.sums.keys() | {(partition, CLOSED) for partition, _ in closed}) - set(closed)
        if changes.populations or changed:
            people = {partition: self.populations[partition].pack() for partition in changes.populations}
            await partitions.put(connection, people, {key: self.sums[key].pack() for key in sorted(changed)}, closed)


async def load(connection: Any) -> Books:
    """Everything that was counted."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        counted = await partitions.load(connection)
        packed = await partitions.load_sums(connection)
    return Books(
        {partition: one.place for partition, one in counted.items()},
        {partition: population.unpack(one.population) for partition, one in counted.items()},
        {key: posterior.unpack(data, DIMS) for key, data in packed.items()},
    )
