"""What pushes add, in PostgreSQL: dense versions, a checksum each, and beside them people's own parts of the newest."""

import zlib
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from bandits import incremental
from bandits.features import FEATURE_SET
from bandits.incremental import EFFECT_SET, WIDTH, Effect, Known, NotAnEffectError, Own

_IS_ASKED_FOR: Final = """
    select exists (select 1 from campaigns where status <> 'ended' and body ->> 'goal' = 'incremental_value')
"""
_ADD: Final = """
    insert into effects (version, learned_at, feature_set, effect_set, windows, pushes, crc32, body)
    select $1, $2, $3, $4, $5, $6, $7, $8 where $1 = (select coalesce(max(version), 0) + 1 from effects)
    on conflict (version) do nothing
    returning 1
"""
_NEWEST: Final = """
    select version, learned_at, windows, pushes, feature_set = $1 and effect_set = $2
      from effects order by version desc limit 1
"""
_LOAD: Final = "select crc32, body, feature_set = $2 and effect_set = $3 from effects where version = $1"
# An effect is used until the next one is learned; the newest has no next one.
_PURGE: Final = """
    delete from effects where version in (
        select version from (select version, lead(learned_at) over (order by version) as replaced_at from effects) aged
         where replaced_at < $1)
"""
# What is no number is not somebody's part, wherever it came from.
_OWN: Final = """
    select user_id, mean, variance from own_effects
     where user_id = any($1::bigint[]) and abs(mean) < 'infinity' and variance > 0 and variance < 'infinity'
"""
_STAGE: Final = "create temporary table new_effects (like own_effects) on commit drop"
_REPLACE: Final = """
    insert into own_effects (user_id, mean, variance) select user_id, mean, variance from new_effects order by user_id
    on conflict (user_id) do update set mean = excluded.mean, variance = excluded.variance
"""
_DROP: Final = "delete from own_effects o where not exists (select 1 from new_effects n where n.user_id = o.user_id)"

PRIOR_VERSION: Final = 0
"""Of the effect before anything was learned."""

F64 = npt.NDArray[np.float64]


class EffectMissingError(LookupError):
    """No such version: never learned, or no longer kept."""


class EffectDamagedError(ValueError):
    """What is stored must not be decided by: it is not what was learned, or is of other columns."""


class Published(NamedTuple):
    """What is kept beside an effect; `is_ours` says whether its columns are those of this program."""

    version: int
    learned_at: datetime
    windows: int
    pushes: int
    is_ours: bool = True


class OwnPart(NamedTuple):
    """What is believed of one person's own part of the effect."""

    mean: float
    variance: float


async def is_asked_for(connection: Any) -> bool:
    """Whether a campaign that has not ended decides by effects."""
    is_asked: bool = await connection.fetchval(_IS_ASKED_FOR)
    return is_asked


async def newest(connection: Any) -> Published | None:
    """Of the newest effect; None before the first."""
    row = await connection.fetchrow(_NEWEST, FEATURE_SET, EFFECT_SET)
    return None if row is None else Published(*row)


async def load(connection: Any, version: int) -> Known:
    """One version, ready to draw by; version 0 is the prior.

    Raises:
        EffectMissingError: it was never learned, or is no longer kept.
        EffectDamagedError: it must not be decided by.
    """
    if version == PRIOR_VERSION:
        return incremental.known(incremental.UNKNOWN)
    row = await connection.fetchrow(_LOAD, version, FEATURE_SET, EFFECT_SET)
    if row is None:
        raise EffectMissingError(f"effect {version} was never learned, or it is no longer kept")
    crc32, body, is_ours = row
    if not is_ours:
        raise EffectDamagedError(f"effect {version} is of other features than this program's")
    if zlib.crc32(body) != crc32:
        raise EffectDamagedError(f"effect {version} fails its checksum")
    try:
        return incremental.known(_unpack(body))
    except NotAnEffectError as error:
        raise EffectDamagedError(f"effect {version}: {error}") from error


async def publish(connection: Any, told: Published, effect: Effect, people: npt.NDArray[np.int64], own: Own) -> bool:
    """Puts an effect in force with the own parts of these people, in one transaction; who is not among them has the prior.

    False when its version is not the next one: somebody else was quicker.
    """
    body = _pack(effect)
    async with connection.transaction():
        row = (*told[:2], FEATURE_SET, EFFECT_SET, *told[2:4], zlib.crc32(body), body)
        if await connection.fetchrow(_ADD, *row) is None:
            return False
        await connection.execute(_STAGE)
        records = zip(people.tolist(), own.mean.tolist(), own.variance.tolist(), strict=True)
        await connection.copy_records_to_table("new_effects", records=records, schema_name="pg_temp")
        await connection.execute(_REPLACE)
        await connection.execute(_DROP)
    return True


async def own_parts(connection: Any, user_ids: Collection[int]) -> dict[int, OwnPart]:
    """Own parts of those of these people who have one."""
    return {row[0]: OwnPart(row[1], row[2]) for row in await connection.fetch(_OWN, list(user_ids))}


async def purge(connection: Any, before: datetime) -> None:
    """Deletes effects that were replaced before `before`; the newest stays."""
    await connection.execute(_PURGE, before)


def _pack(effect: Effect) -> bytes:
    scalars = [effect.own_variance, effect.redeemed_share]
    return np.concatenate([effect.mean, effect.covariance.ravel(), scalars]).astype("<f8").tobytes()


def _unpack(body: bytes) -> Effect:
    if len(body) != 8 * (WIDTH + WIDTH * WIDTH + 2):
        raise NotAnEffectError(f"{len(body)} bytes are none")
    mean, covariance, scalars = np.split(np.frombuffer(body, "<f8").astype(np.float64), [WIDTH, WIDTH + WIDTH * WIDTH])
    return Effect(mean, covariance.reshape(WIDTH, WIDTH), *scalars.tolist())
