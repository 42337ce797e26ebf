"""What a campaign must be before it is stored: a window that lies ahead, known offers, and something of value to give."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np

from push.occurrences import LATEST_ZONE
from schema.campaign import EARLIEST_ZONE, Campaign
from schema.decision import Channel
from schema.external_id import DOTS
from schema.problem import FieldError
from service.store import zones
from service.store.catalogue import Catalogue

EARLIEST: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - local times have no zone
LATEST: Final = datetime(2200, 1, 1)  # noqa: DTZ001 - local times have no zone
NO_VALUE: Final = "A message without value must not be sent: name an offer that gives something (a discount, a code, or is_redeemable) and runs during the campaign, or add one."


def problems(campaign: Campaign, catalogue: Catalogue, now: datetime) -> Iterator[FieldError]:
    """Every field that is wrong."""
    if campaign.campaign_id in DOTS:
        yield _wrong("/campaign_id", "Dots alone cannot stand at the end of a path: the campaign could not be ended.")
    instants = {"/starts_at": campaign.starts_at, "/ends_at": campaign.ends_at}
    outside = [pointer for pointer, instant in instants.items() if not EARLIEST <= instant < LATEST]
    if outside:
        yield from (_wrong(pointer, "A campaign lies between the years 2000 and 2200.") for pointer in outside)
    elif campaign.ends_at <= campaign.starts_at:
        yield _wrong("/ends_at", "The end must be after the start.")
    elif campaign.ends_at.replace(tzinfo=UTC) + LATEST_ZONE <= now:
        yield _wrong("/ends_at", "The campaign would be over in every time zone.")
    if not zones.is_known(campaign.default_time_zone):
        detail = "This time zone is unknown; send a name of the IANA database, such as America/New_York."
        yield _wrong("/default_time_zone", detail)
    for index, name in enumerate(campaign.offers):
        if name not in catalogue.index_by_external:
            yield _wrong(f"/offers/{index}", "There is no offer with this offer_id.")


def has_value(campaign: Campaign, catalogue: Catalogue, now: datetime) -> bool:
    """Whether some offer it may send can be redeemed, is not paused, goes by push, and runs at some time of what is left of it."""
    begins = max((campaign.starts_at.replace(tzinfo=UTC) - EARLIEST_ZONE).timestamp(), now.timestamp())
    ends = (campaign.ends_at.replace(tzinfo=UTC) + LATEST_ZONE).timestamp()
    is_live = catalogue.is_redeemable & ~catalogue.is_paused & ((catalogue.channels >> Channel.PUSH & 1) == 1)
    is_live &= (catalogue.starts_at < ends) & (begins < catalogue.ends_at)
    if campaign.offers:
        known = catalogue.index_by_external
        is_named = np.zeros(len(is_live), np.bool_)
        is_named[[known[name] for name in campaign.offers if name in known]] = True
        is_live &= is_named
    return bool(is_live.any())


def _wrong(pointer: str, detail: str) -> FieldError:
    return FieldError(pointer=pointer, code="invalid_field", detail=detail)
