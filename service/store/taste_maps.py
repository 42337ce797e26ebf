"""Taste maps in PostgreSQL: dense versions, a checksum each; and the sample of people they are learned from."""

import zlib
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np

from bandits import taste_map
from bandits.taste_map import DamagedTasteMapError, TasteMap
from service.store.user_state import State

_ADD: Final = """
    insert into taste_maps (version, learned_at, people, personal_variances, crc32, body)
    select $1, $2, $3, $4, $5, $6 where $1 = (select coalesce(max(version), 0) + 1 from taste_maps)
    on conflict (version) do nothing
    returning 1
"""
_NEWEST: Final = "select version, learned_at, people, personal_variances from taste_maps order by version desc limit 1"
_LOAD: Final = "select crc32, body from taste_maps where version = $1"
_PURGE: Final = """
    delete from taste_maps where learned_at < $1 and version < (select max(version) from taste_maps)
       and version is distinct from (select taste_map_version from snapshot_pins order by pin_id desc limit 1)
"""
_PEOPLE: Final = "select coalesce(max(user_id), 0) from user_state"
# Some of those drawn do not exist or have not consented: they are few, and make room for nobody. Each is looked up by key (offset 0, see
# service.store.exposures): ten thousand in a list let PostgreSQL think it cheaper to read everybody.
_SAMPLE: Final = """
    select s.tastes, s.rhythm, s.personal
      from unnest($1::bigint[]) as k(user_id)
      cross join lateral (select 1 from users where user_id = k.user_id and has_personalization_consent offset 0) u
      cross join lateral (select tastes, rhythm, personal from user_state where user_id = k.user_id offset 0) s
     order by k.user_id
"""


class TasteMapMissingError(LookupError):
    """No such version: never learned, or no longer kept."""


class Learned(NamedTuple):
    """What is kept beside a map; `people` is how many it was learned from, `variances` the prior variances of the personal blocks."""

    version: int
    learned_at: datetime
    people: int
    variances: list[float]


async def newest(connection: Any) -> Learned | None:
    """Of the map in force; None before the first."""
    row = await connection.fetchrow(_NEWEST)
    return None if row is None else Learned(*row)


async def load(connection: Any, version: int) -> TasteMap:
    """One version; version 0 is the empty map from before the first.

    Raises:
        TasteMapMissingError: it was never learned, or is no longer kept.
        DamagedTasteMapError: it is not what was stored.
    """
    if version == 0:
        return taste_map.empty()
    row = await connection.fetchrow(_LOAD, version)
    if row is None:
        raise TasteMapMissingError(f"taste map {version} was never learned, or it is no longer kept")
    if zlib.crc32(row["body"]) != row["crc32"]:
        raise DamagedTasteMapError(f"taste map {version} fails its checksum")
    return taste_map.unpack(version, row["body"])


async def add(connection: Any, learned: Learned, known: TasteMap) -> bool:
    """Puts a map in force; False when its version is not the next one: somebody else was quicker."""
    body = taste_map.pack(known)
    return await connection.fetchrow(_ADD, *learned, zlib.crc32(body), body) is not None


async def sample(connection: Any, size_max: int, seed: int) -> list[State]:
    """The states of people who let us personalise: all of them when there are few, else a random part, the same for the same seed."""
    last = await connection.fetchval(_PEOPLE)
    ids = np.arange(1, last + 1)
    if last > size_max:
        ids = np.unique(np.random.default_rng(seed).integers(1, last + 1, size_max))
    return [State(*row) for row in await connection.fetch(_SAMPLE, ids.tolist())]


async def purge(connection: Any, before: datetime) -> None:
    """Deletes maps that were learned before `before`; the newest stays."""
    await connection.execute(_PURGE, before)
