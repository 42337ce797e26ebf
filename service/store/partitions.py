"""What the learner has counted, partition by partition: how far it came, the people's counts, and the sums by cohort."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

_LOAD: Final = (
    "select partition, revision, last_seq, ripe_through, population from learner_partitions order by partition"
)
# Locked in order, so that two learners cannot deadlock: the second waits, and then misses.
_ADVANCE: Final = """
    with locked as (
        select p.partition, m.last_seq, m.ripe_through
          from unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::timestamptz[])
               as m(partition, revision, last_seq, ripe_through)
          join learner_partitions p using (partition)
         where p.revision = m.revision
         order by p.partition for update of p
    )
    update learner_partitions p
       set last_seq = locked.last_seq, ripe_through = locked.ripe_through, revision = p.revision + 1
      from locked where p.partition = locked.partition
    returning p.partition
"""
_COUNTED: Final = "select partition, last_seq from learner_partitions"
_LOAD_SUMS: Final = "select partition, cohort, sums from learner_sums order by partition, cohort"
# One round trip: a pass is small, and waits for each.
_PUT: Final = """
    with people as (
        update learner_partitions p set population = n.population
          from unnest($1::smallint[], $2::bytea[]) as n(partition, population) where p.partition = n.partition
    ), closed as (
        delete from learner_sums s using unnest($3::smallint[], $4::integer[]) as n(partition, cohort)
         where s.partition = n.partition and s.cohort = n.cohort
    )
    insert into learner_sums (partition, cohort, sums)
    select partition, cohort, sums from unnest($5::smallint[], $6::integer[], $7::bytea[]) as n(partition, cohort, sums)
    on conflict (partition, cohort) do update set sums = excluded.sums
"""
_HOLD_ALL: Final = "select partition from learner_partitions order by partition for update"
_RAISE_ALL: Final = "update learner_partitions set revision = revision + 1"
_DROP_SUMS: Final = "delete from learner_sums"


class Place(NamedTuple):
    """How far a partition of the log has been counted; `revision` is raised by every change of what was counted.

    `ripe_through` is how far unredeemed showings have been counted in people's own parts, the same in all partitions: a person who is
    merged into another takes their exposures along into another partition.
    """

    revision: int
    last_seq: int
    ripe_through: datetime


class Counted(NamedTuple):
    """One partition: its place and its population, packed."""

    place: Place
    population: bytes


async def load(connection: Any) -> dict[int, Counted]:
    """All partitions, in order."""
    return {row[0]: Counted(Place(*row[1:4]), row[4]) for row in await connection.fetch(_LOAD)}


async def counted_through(connection: Any) -> dict[int, int]:
    """How far the log of each partition has been counted."""
    return dict(await connection.fetch(_COUNTED))


async def advance(connection: Any, moves: Mapping[int, Place]) -> bool:
    """Compare-and-set: moves each partition from the given revision to the next one, and to the given last_seq and ripe_through.

    Until the caller's transaction ends nobody else can advance these partitions. False when one of them had another revision: the
    caller must roll back.
    """
    partitions = sorted(moves)
    columns = map(list, zip(*(moves[partition] for partition in partitions), strict=True))
    return len(await connection.fetch(_ADVANCE, partitions, *columns)) == len(moves)


async def load_sums(connection: Any) -> dict[tuple[int, int], bytes]:
    """Packed sums by (partition, cohort), in order."""
    return {(row[0], row[1]): row[2] for row in await connection.fetch(_LOAD_SUMS)}


async def hold_all(connection: Any) -> None:
    """Waits for all who count, and makes them forget what they remember; until the caller's transaction ends nobody counts."""
    await connection.execute(_HOLD_ALL)
    await connection.execute(_RAISE_ALL)


async def replace_sums(connection: Any, sums: Mapping[tuple[int, int], bytes]) -> None:
    """Throws all sums away and puts these in their place; the caller holds all partitions."""
    await connection.execute(_DROP_SUMS)
    await put(connection, {}, sums)


async def put(
    connection: Any,
    populations: Mapping[int, bytes],
    sums: Mapping[tuple[int, int], bytes],
    closed: Collection[tuple[int, int]] = (),
) -> None:
    """Replaces packed populations and sums by (partition, cohort), and removes cohorts, of partitions that the caller has advanced.

    No cohort may be both replaced and removed.
    """
    await connection.execute(
        _PUT,
        list(populations),
        list(populations.values()),
        [key[0] for key in closed],
        [key[1] for key in closed],
        [key[0] for key in sums],
        [key[1] for key in sums],
        list(sums.values()),
    )
