"""Which offers are eligible for a person at an instant: everything that removes an offer does it here, before the pmf."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schema.decision import Channel
from service.decision.ask import Ask
from service.decision.eligible import Eligible, Mask, of
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson

_LAST_ZONE: Final = timedelta(hours=-12)

Positions = npt.NDArray[np.int64]

_NOWHERE: Final[Positions] = np.empty(0, np.int64)


def eligible(catalogue: Catalogue, person: DecisionPerson, ask: Ask, now: datetime) -> tuple[Eligible, tuple[str, ...]]:
    """What is eligible and, when that is nothing, the reason codes."""
    if reasons := (*silences(person, ask.channel, now, is_alone=not ask.also), *ask.silences):
        return _nothing(catalogue), reasons
    years = age(person.birth_date, now) if catalogue.has_age_limits else 0
    store_id = ask.context.store_id if catalogue.store_bound else None
    found: Eligible = _openings(catalogue)(
        (ask.channel, *ask.also), ask.candidates, era_of(catalogue, now), years, store_id
    )
    if removed := removed_by_person(catalogue, person, ask, now):
        mask = found.mask.copy()
        mask[removed] = False
        found = of(catalogue, mask)
    return found, () if len(found.places) else ("no_eligible_offer",)


@lru_cache(maxsize=4)
def _nothing(catalogue: Catalogue) -> Eligible:
    return of(catalogue, np.zeros(len(catalogue.ids), np.bool_))


@lru_cache(maxsize=4)
def _openings(catalogue: Catalogue) -> Callable[..., Eligible]:
    """`_open_to` of one catalogue, with a memory that goes when the catalogue does: one for all would keep a thousand versions alive."""
    return lru_cache(maxsize=1024)(partial(_open_to, catalogue))


def _open_to(
    catalogue: Catalogue,
    channels: tuple[Channel, ...],
    candidates: tuple[int, ...] | None,
    era: int,
    years: int,
    store_id: str | None,
) -> Eligible:
    """What is open to everybody of that age in that store: the same for many."""
    mask = catalogue.min_age <= years
    for channel in channels:
        mask &= _on_offer(catalogue, channel, era)
    if candidates is not None:
        mask &= _among(catalogue, candidates)
    if catalogue.store_bound:
        mask &= open_in(catalogue, store_id)
    return of(catalogue, mask)


def silences(person: DecisionPerson, channel: Channel, now: datetime, *, is_alone: bool = True) -> tuple[str, ...]:
    """Why this person is to be left in peace on this channel, whatever the offers; one that is not alone may be of no use."""
    reasons = []
    if channel is not Channel.IN_APP and person.opted_out_at is not None:
        reasons.append("opted_out")
    if channel is Channel.PUSH and is_alone and not person.has_push_consent:
        reasons.append("no_push_consent")
    if person.muted_until is not None and person.muted_until > now:
        reasons.append("muted")
    return tuple(reasons)


@lru_cache(maxsize=4)
def _turns(catalogue: Catalogue) -> list[float]:
    """The instants, in seconds since 1970, at which an offer begins or ends."""
    return sorted({*catalogue.starts_at.tolist(), *catalogue.ends_at.tolist()})


def era_of(catalogue: Catalogue, now: datetime) -> int:
    """Which of the times between two such instants it is: while one lasts no offer begins or ends."""
    return bisect_right(_turns(catalogue), now.timestamp())


@lru_cache(maxsize=16)
def _on_offer(catalogue: Catalogue, channel: Channel, era: int) -> Mask:
    """Offers that run in an era, on this channel, for anybody, and not to be written to."""
    began = _turns(catalogue)[era - 1] if era else -np.inf
    running: Mask = (catalogue.starts_at <= began) & (began < catalogue.ends_at) & ~catalogue.is_paused
    running &= (catalogue.channels >> channel & 1) == 1
    running.flags.writeable = False
    return running


def carrying(catalogue: Catalogue, tags: frozenset[str]) -> tuple[int, ...]:
    """Ids of the offers that carry any of these tags."""
    return _carriers(catalogue)(tags)


@lru_cache(maxsize=4)
def _carriers(catalogue: Catalogue) -> Callable[[frozenset[str]], tuple[int, ...]]:
    """`_carrying` of one catalogue, as `_openings`."""
    return lru_cache(maxsize=256)(partial(_carrying, catalogue))


def _carrying(catalogue: Catalogue, tags: frozenset[str]) -> tuple[int, ...]:
    tag_ids = [catalogue.tag_id_by_name[tag] for tag in tags if tag in catalogue.tag_id_by_name]
    return tuple(catalogue.ids[np.isin(catalogue.tag_ids, tag_ids).any(axis=1)].tolist())


@lru_cache(maxsize=4)
def _among(catalogue: Catalogue, candidates: tuple[int, ...]) -> Mask:
    return np.isin(catalogue.ids, candidates)


def removed_by_person(catalogue: Catalogue, person: DecisionPerson, ask: Ask, now: datetime) -> list[int]:
    """Positions of the offers this person has vetoed, put off, or the app has excluded."""
    if not (person.vetoed_offer_ids or person.snoozed_offer_ids or ask.excluded):  # as of most people
        return []
    snoozed = [
        offer_id for offer_id, until in zip(person.snoozed_offer_ids, person.snoozed_until, strict=True) if until > now
    ]
    known = catalogue.index_by_id
    return [known[offer_id] for offer_id in (*person.vetoed_offer_ids, *snoozed, *ask.excluded) if offer_id in known]


class _Stores(NamedTuple):
    """Which offers name stores: `bound` to those they list, which each store is in, and which each store is shut out of."""

    bound: Positions
    listed_in: Mapping[str, Positions]
    excluded_from: Mapping[str, Positions]


@lru_cache(maxsize=4)
def _stores(catalogue: Catalogue) -> _Stores:
    listed, excluded = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    bound = []
    for index in catalogue.store_bound:
        offer = catalogue.offers[index].offer
        if offer.store_ids:
            bound.append(index)
        for store_id in offer.store_ids:
            listed[store_id].append(index)
        for store_id in offer.exclude_store_ids:
            excluded[store_id].append(index)
    return _Stores(_positions(bound), _by_store(listed), _by_store(excluded))


def _by_store(indices: Mapping[str, list[int]]) -> dict[str, Positions]:
    return {store_id: _positions(found) for store_id, found in indices.items()}


def _positions(indices: list[int]) -> Positions:
    return np.array(indices, np.int64)


def open_in(catalogue: Catalogue, store_id: str | None) -> Mask:
    """Offers that hold in this store, (offers,); in an unknown store (None) those that name no stores of their own."""
    stores = _stores(catalogue)
    mask = np.ones(len(catalogue.ids), np.bool_)
    mask[stores.bound] = False
    if store_id is not None:
        mask[stores.listed_in.get(store_id, _NOWHERE)] = True
        mask[stores.excluded_from.get(store_id, _NOWHERE)] = False
    return mask


def age(birth_date: date | None, now: datetime) -> int:
    """Full years that have passed in every time zone of the earth; 0 when the date is unknown or lies ahead."""
    if birth_date is None:
        return 0
    today = (now + _LAST_ZONE).date()
    return max(today.year - birth_date.year - ((today.month, today.day) < (birth_date.month, birth_date.day)), 0)
