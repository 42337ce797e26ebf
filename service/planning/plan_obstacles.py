"""Why planning a campaign would be in vain: what it had when it was made may be gone, or has become too long for a push."""

from datetime import datetime
from typing import Any

import numpy as np

from push.drawing.draft import excess_bytes
from schema.campaign import StoredCampaign
from service.planning import campaign_rules
from service.store.catalogue import CatalogueCache


class CatalogueObstacles:
    """Judges by the catalogue there is now. An offer that is sold out may come back: it is no obstacle, but a mask of the draw."""

    def __init__(self, catalogue: CatalogueCache) -> None:
        self._catalogue = catalogue

    async def of(self, connection: Any, campaign: StoredCampaign, now: datetime) -> str | None:
        """A code; None when there is something to send."""
        catalogue = await self._catalogue.refresh(connection)
        refusal = campaign_rules.refusal(campaign.campaign, catalogue, now)
        if refusal is not None:
            return refusal[0]
        if "push" not in campaign.campaign.channels:
            return None
        offers = (
            catalogue.offers[place].offer
            for place in np.flatnonzero(campaign_rules.live(campaign.campaign, catalogue, now))
        )
        return None if any(not excess_bytes(offer, offer.creative) for offer in offers) else "payload_too_long"
