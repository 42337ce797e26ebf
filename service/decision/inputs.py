"""From a person, a catalogue and a context to the features of every offer."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from bandits import features, tastes
from bandits.delay import WINDOW_S
from bandits.kernels.featurize import featurize_known
from bandits.kernels.popularity import POPULARITY, popularity
from bandits.policies.model import Model
from schema.decision import Context, DecisionInputs
from service.decision.remembered import Remembered
from service.store import zones
from service.store.catalogue import Catalogue

NEAR_M: Final = 500.0
"""Distance at which a store counts half as near as its door."""

_UTC_OFFSET: Final = timedelta(0)


class OfferFeatures(NamedTuple):
    """What featurize needs of one catalogue.

    discounts (offers,); is_relevant_tag (tags,), whether any offer carries the tag, and the ids of those that are, by name;
    may_be_personal and is_never_personal (offers,).
    """

    discounts: npt.NDArray[np.float32]
    is_relevant_tag: npt.NDArray[np.bool_]
    relevant_by_name: dict[str, int]
    may_be_personal: npt.NDArray[np.bool_]
    is_never_personal: npt.NDArray[np.bool_]


@lru_cache(maxsize=4)
def of_catalogue(catalogue: Catalogue) -> OfferFeatures:
    """Computed once a version."""
    price = np.maximum(catalogue.price_minor, 1.0)
    discounts = np.where(catalogue.price_minor > 0, np.clip(catalogue.discount_minor / price, 0.0, 1.0), 0.0)
    relevant = np.zeros(int(catalogue.tag_ids.max(initial=-1)) + 1, np.bool_)
    relevant[catalogue.tag_ids[catalogue.tag_ids >= 0]] = True
    by_name = {name: tag for name, tag in catalogue.tag_id_by_name.items() if tag < len(relevant) and relevant[tag]}
    personal = ~catalogue.is_sensitive & (catalogue.min_age <= 0)
    never = np.zeros(len(personal), np.bool_)
    return OfferFeatures(discounts.astype(np.float32), relevant, by_name, personal, never)


def phi_of(
    catalogue: Catalogue, model: Model, packed: bytes, given: DecisionInputs, now: datetime
) -> npt.NDArray[np.float32]:
    """Features (offers, d) of all offers; `packed` is what tastes.for_decision gave.

    Raises:
        UnknownStateError: `packed` cannot be read.
    """
    known = of_catalogue(catalogue)
    state = tastes.view(packed)
    context, hour = given.context, given.local_hour
    phi = np.empty((len(catalogue.ids), features.DIMS), np.float32)
    in_basket = np.zeros(len(known.is_relevant_tag), np.bool_)
    in_basket[given.basket_tag_ids] = True
    featurize_known(
        state.header,
        state.entries,
        catalogue.tag_ids,
        known.may_be_personal if given.may_personalise else known.is_never_personal,
        known.discounts,
        _popularity.of(catalogue, model),
        model.taste_map.companions,
        model.taste_map.lifts,
        model.taste_map.cycles_s,
        in_basket,
        now.timestamp(),
        WINDOW_S,
        float(hour % 24) if hour >= 0 else -1.0,
        nearness(context),
        bool(context.is_raining),
        phi,
    )
    return phi


def nearness(context: Context) -> float:
    """1 in the store, half of that at NEAR_M, 0 where the distance is not known."""
    return 0.0 if context.distance_m is None else float(2.0 ** (-context.distance_m / NEAR_M))


def _popularity_of(catalogue: Catalogue, model: Model) -> npt.NDArray[np.float64]:
    shares = np.empty((len(catalogue.ids), POPULARITY))
    popularity(catalogue.tag_ids, model.tag_shares, model.recent_shares, shares)
    return shares


_popularity: Final = Remembered(_popularity_of)


def popularity_of(catalogue: Catalogue, model: Model) -> npt.NDArray[np.float64]:
    """What the population makes of the offers, (offers, POPULARITY)."""
    return _popularity.of(catalogue, model)


def basket_tag_ids(catalogue: Catalogue, context: Context) -> list[int]:
    """The tags of the basket which some offer carries: no other can matter, and no other is kept."""
    if not context.basket_tags:
        return []
    relevant = of_catalogue(catalogue).relevant_by_name
    return sorted({relevant[name] for tag in context.basket_tags if (name := tag.strip().lower()) in relevant})


def kept(context: Context) -> Context:
    """What is logged of a context as it came: basket and clock enter the draw as tag ids and hour, and those are logged."""
    if not context.basket_tags and context.local_time is None:
        return context
    return msgspec.structs.replace(context, basket_tags=[], local_time=None)


def local_hour_of(time_zone: str | None, context: Context, now: datetime) -> int:
    """The hour of the week on the person's own clock (Monday 00:00 is 0); -1 when it is not known.

    The app's local_time is believed, for it decides nothing but features. One in UTC says what instant it is rather than what the
    person's clock shows, so a known time zone goes before it.
    """
    hour = zones.local_hour(now, time_zone)
    told = context.local_time
    if told is None or (hour != zones.HOUR_UNKNOWN and told.utcoffset() == _UTC_OFFSET):
        return hour
    return told.weekday() * 24 + told.hour
