"""The catalogue as a decision sees it: the offers of one version, and the same facts as aligned arrays."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from schema.decision import Channel
from schema.offer import TAGS_PER_OFFER_MAX, Offer, StoredOffer

_TAGS: Final = "select tag, tag_id from tags"
# One statement, hence one snapshot: the version and its rows cannot come from either side of a commit.
_LOAD: Final = """
    select h.version as head, o.offer_id, v.body
      from catalogue_head h
      left join (offer_versions v join offers o using (offer_id))
        on v.from_version <= coalesce($1, h.version) and (v.to_version is null or v.to_version > coalesce($1, h.version))
     order by o.offer_id
"""
OLDER_MAX: Final = 4
_VERSION: Final = "select version from catalogue_head"


_CHANNELS: Final[Mapping[str, tuple[Channel, ...]]] = {
    "push": (Channel.PUSH, Channel.WEBHOOK, Channel.EMAIL),
    "in_app": (Channel.IN_APP, Channel.INBOX),
}


class VersionMissing(Exception):
    """The catalogue never had this version."""


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """One version of the catalogue: K offers sorted by internal id, and arrays of K rows in the same order.

    Instants are unix seconds, -inf and inf when open. `channels` is a bit mask of 1 << Channel. `discount_minor` is what the offer
    takes off in minor units of its currency: a percentage is taken of the price. The two indexes give positions, not ids.
    """

    version: int
    offers: tuple[StoredOffer, ...]
    ids: npt.NDArray[np.int32]
    tag_ids: npt.NDArray[np.int16]  # (K, TAGS_PER_OFFER_MAX), padded with -1
    starts_at: npt.NDArray[np.float64]
    ends_at: npt.NDArray[np.float64]
    min_age: npt.NDArray[np.int16]
    is_sensitive: npt.NDArray[np.bool_]
    is_paused: npt.NDArray[np.bool_]
    is_redeemable: npt.NDArray[np.bool_]
    channels: npt.NDArray[np.uint8]
    price_minor: npt.NDArray[np.float64]
    discount_minor: npt.NDArray[np.float64]
    index_by_external: dict[str, int]
    index_by_id: dict[int, int]
    tag_id_by_name: dict[str, int]  # all tags of the taxonomy as of the load
    store_bound: tuple[int, ...]  # positions of the offers that hold in some stores only
    is_limited: npt.NDArray[np.bool_]  # whether there is an end to it
    cost_minor: npt.NDArray[np.int64]  # what a redemption takes of a budget
    has_limits: bool  # whether any is limited
    has_age_limits: bool  # whether any asks for an age
    indices_by_code: dict[str, list[int]]  # positions of the offers with a code, by it

    def has_cost_in(self, currency: str) -> npt.NDArray[np.bool_]:
        """Offers (K,) of which it is known what a redemption takes of a budget in this currency."""
        in_currency = np.array([one.offer.currency == currency for one in self.offers], np.bool_)
        return in_currency & (self.cost_minor > 0)


def compose(version: int, stored: Sequence[StoredOffer], tag_id_by_name: dict[str, int]) -> Catalogue:
    """The arrays of offers that are sorted by id."""
    offers = [one.offer for one in stored]
    return Catalogue(
        version=version,
        offers=tuple(stored),
        ids=np.array([one.id for one in stored], np.int32),
        tag_ids=_padded([one.tag_ids for one in stored]),
        starts_at=np.array([_seconds(offer.starts_at, -np.inf) for offer in offers], np.float64),
        ends_at=np.array([_seconds(offer.ends_at, np.inf) for offer in offers], np.float64),
        min_age=np.array([offer.min_age for offer in offers], np.int16),
        is_sensitive=np.array([offer.is_sensitive for offer in offers], np.bool_),
        is_paused=np.array([offer.is_paused for offer in offers], np.bool_),
        is_redeemable=np.array([offer.has_value() for offer in offers], np.bool_),
        channels=np.array([_channel_mask(offer) for offer in offers], np.uint8),
        price_minor=np.array([offer.price_minor for offer in offers], np.float64),
        discount_minor=np.array([_discount_minor(offer) for offer in offers], np.float64),
        index_by_external={offer.offer_id: index for index, offer in enumerate(offers)},
        index_by_id={one.id: index for index, one in enumerate(stored)},
        tag_id_by_name=tag_id_by_name,
        store_bound=tuple(index for index, offer in enumerate(offers) if offer.store_ids or offer.exclude_store_ids),
        is_limited=np.array([offer.is_limited() for offer in offers], np.bool_),
        cost_minor=np.array([offer.cost_minor() for offer in offers], np.int64),
        has_limits=any(offer.is_limited() for offer in offers),
        has_age_limits=any(offer.min_age > 0 for offer in offers),
        indices_by_code=_by_code(offers),
    )


def _by_code(offers: Sequence[Offer]) -> dict[str, list[int]]:
    found = defaultdict[str, list[int]](list)
    for index, offer in enumerate(offers):
        if offer.code is not None:
            found[offer.code].append(index)
    return dict(found)


def _padded(tag_ids: Sequence[Sequence[int]]) -> npt.NDArray[np.int16]:
    padded = np.full((len(tag_ids), TAGS_PER_OFFER_MAX), -1, np.int16)
    for row, ids in zip(padded, tag_ids, strict=True):
        row[: len(ids)] = ids
    return padded


def _seconds(instant: datetime | None, otherwise: float) -> float:
    return otherwise if instant is None else instant.timestamp()


def _channel_mask(offer: Offer) -> int:
    return sum(1 << channel for name in set(offer.channels) for channel in _CHANNELS[name])


def _discount_minor(offer: Offer) -> float:
    return (
        offer.price_minor * offer.discount_percent / 100 if offer.discount_type == "percent" else offer.discount_minor
    )


async def load(connection: Any, version: int | None = None) -> Catalogue:
    """The catalogue of the given version, or the newest.

    Raises:
        VersionMissing: `version` is negative or has not been made yet.
    """
    rows = await connection.fetch(_LOAD, version)
    head = rows[0]["head"]
    if version is not None and not 0 <= version <= head:
        raise VersionMissing(f"the catalogue has the versions 0 to {head}; there is no {version}")
    # Tags are only ever added, so that reading them after the offers finds them all.
    ids = dict(await connection.fetch(_TAGS))
    # Off the event loop: thousands of offers take half a second.
    return await asyncio.to_thread(_compose_rows, head if version is None else version, rows, ids)


def _compose_rows(version: int, rows: Sequence[Any], ids: dict[str, int]) -> Catalogue:
    return compose(version, [_stored(row, ids) for row in rows if row["offer_id"] is not None], ids)


def _stored(row: Any, ids: dict[str, int]) -> StoredOffer:
    offer = msgspec.convert(row["body"], Offer)
    return StoredOffer(id=row["offer_id"], tag_ids=sorted(ids[tag] for tag in offer.tags), offer=offer)


class CatalogueCache:
    """The newest catalogue this process has seen; `current` is replaced whole and is empty before the first refresh.

    A few older versions are remembered, for those that explain or replay decisions of the past.
    """

    def __init__(self) -> None:
        self.current = compose(0, [], {})
        self._older: dict[int, Catalogue] = {}

    async def refresh(self, connection: Any) -> Catalogue:
        """Loads the catalogue when its version has changed; gives the current one."""
        if await connection.fetchval(_VERSION) != self.current.version:
            loaded = await load(connection)
            if loaded.version > self.current.version:  # a slower refresh must not bring back an older one
                self.current = loaded
        return self.current

    async def of_version(self, connection: Any, version: int) -> Catalogue:
        """The catalogue as it was at that version.

        Raises:
            VersionMissing: `version` is negative or has not been made yet.
        """
        if version == self.current.version and version > 0:
            return self.current
        found = self._older.pop(version, None) or await load(connection, version)
        self._older[version] = found
        if len(self._older) > OLDER_MAX:
            del self._older[next(iter(self._older))]
        return found
