"""Learns the map of tastes, and how much people differ, anew: weekly, and sooner while an installation is young."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from bandits import personal, personal_variance, taste_map
from bandits.taste_map import PEOPLE_MIN, TasteMap
from service.store import taste_maps
from service.store.catalogue import Catalogue, CatalogueCache
from service.store.learned_state import personal_in
from service.store.taste_maps import Learned
from service.store.user_state import State
from service.telemetry import logger

EVERY: Final = timedelta(days=7)
GROWTH: Final = 2.0
"""With so many times as many people as the map was learned from it is learned anew, whatever its age."""

SAMPLE_MAX: Final = 10_000

_LOG: Final = logger("taste_map")


class TasteMapper:
    """Learns maps from the people's states; any number may run, one of them is quicker."""

    def __init__(self, pool: Any, catalogue: CatalogueCache) -> None:
        self._pool = pool
        self._catalogue = catalogue

    async def learn_if_due(self, now: datetime) -> bool:
        """Whether a new map has been put in force."""
        async with self._pool.acquire() as connection:
            before = await taste_maps.newest(connection)
            is_young = before is not None and now - before.learned_at < EVERY
            if is_young and before is not None and before.people * GROWTH > SAMPLE_MAX:
                return False
            version = 1 if before is None else before.version + 1
            people = await taste_maps.sample(connection, SAMPLE_MAX, seed=version)
            if len(people) < PEOPLE_MIN or (is_young and before is not None and len(people) < GROWTH * before.people):
                return False
            known = await taste_maps.load(connection, version - 1)
            left_out = _left_out(await self._catalogue.refresh(connection))
            variances = personal.VARIANCES if before is None else before.variances
            # Off the event loop: a quarter of a second for ten thousand people.
            mapped, learned = await asyncio.to_thread(_learn, people, known, left_out, variances, now)
            is_added = await taste_maps.add(connection, learned, mapped)
        if is_added:
            _LOG.info(
                "a new map of tastes is in force", version=version, people=learned.people, variances=learned.variances
            )
        return is_added


def _learn(
    people: Sequence[State], known: TasteMap, left_out: frozenset[int], variances: Sequence[float], now: datetime
) -> tuple[TasteMap, Learned]:
    mapped = taste_map.learn([one.tastes for one in people], known.version + 1, known, left_out)
    sums = [personal_in(one.personal).at(now.timestamp()) for one in people if one.personal]
    found = personal_variance.learn(np.array(sums), variances) if sums else variances
    return mapped, Learned(mapped.version, now, len(people), list(found))


def _left_out(catalogue: Catalogue) -> frozenset[int]:
    """Tags of sensitive and age-restricted offers: nothing is concluded from them for others."""
    closed = catalogue.is_sensitive | (catalogue.min_age > 0)
    return frozenset(tag_id for place in np.flatnonzero(closed) for tag_id in catalogue.offers[place].tag_ids)
