"""From a person, a catalogue and a context to the features of every offer."""

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from bandits import features, tastes
from bandits.kernels.featurize import featurize
from bandits.policies.model import Model
from schema.decision import Context, DecisionInputs
from service.store.catalogue import Catalogue

NEAR_M: Final = 500.0
"""Distance at which a store counts half as near as its door."""


class OfferFeatures(NamedTuple):
    """What featurize needs of one catalogue: discounts (offers,), tags that any offer carries (tags,), non-personal offers (offers,)."""

    discounts: npt.NDArray[np.float32]
    is_relevant_tag: npt.NDArray[np.bool_]
    is_impersonal: npt.NDArray[np.bool_]


@lru_cache(maxsize=4)
def of_catalogue(catalogue: Catalogue) -> OfferFeatures:
    """Computed once a version."""
    price = np.maximum(catalogue.price_minor, 1.0)
    discounts = np.where(catalogue.price_minor > 0, np.clip(catalogue.discount_minor / price, 0.0, 1.0), 0.0)
    relevant = np.zeros(int(catalogue.tag_ids.max(initial=-1)) + 1, np.bool_)
    relevant[catalogue.tag_ids[catalogue.tag_ids >= 0]] = True
    return OfferFeatures(discounts.astype(np.float32), relevant, catalogue.is_sensitive | (catalogue.min_age > 0))


def phi_of(
    catalogue: Catalogue, model: Model, packed: bytes, given: DecisionInputs, now: datetime
) -> npt.NDArray[np.float32]:
    """Features (offers, d) of all offers; `packed` is what tastes.for_decision gave."""
    known = of_catalogue(catalogue)
    state = tastes.unpack(packed)
    context, hour = given.context, given.local_hour
    phi = np.empty((len(catalogue.ids), features.DIMS), np.float32)
    featurize(
        state.header,
        state.entries,
        catalogue.tag_ids,
        ~known.is_impersonal if given.may_personalise else np.zeros(len(catalogue.ids), np.bool_),
        known.discounts,
        model.tag_shares,
        _in_basket(catalogue, context, len(model.tag_shares)),
        now.timestamp(),
        float(hour % 24) if hour >= 0 else -1.0,
        0.0 if context.distance_m is None else float(2.0 ** (-context.distance_m / NEAR_M)),
        bool(context.is_raining),
        phi,
    )
    return phi


def _in_basket(catalogue: Catalogue, context: Context, tag_count: int) -> npt.NDArray[np.bool_]:
    found = np.zeros(tag_count, np.bool_)
    ids = [catalogue.tag_id_by_name.get(tag.strip().lower(), tag_count) for tag in context.basket_tags]
    found[[tag_id for tag_id in ids if tag_id < tag_count]] = True
    return found


def local_hour_of(time_zone: str | None, context: Context, now: datetime) -> int:
    """The hour of the week on the person's own clock (Monday 00:00 is 0); -1 when it is not known."""
    local = context.local_time or (now.astimezone(ZoneInfo(time_zone)) if time_zone else None)
    return -1 if local is None else local.weekday() * 24 + local.hour
