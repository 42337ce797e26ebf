"""How far planning is, as the log and /metrics tell it."""

import time
from typing import Final

from schema.campaign import StoredCampaign
from service import telemetry

TELL_EVERY_S: Final = 10.0

_LOG: Final = telemetry.logger("planner")


class PlanLog:
    """Tells at most every TELL_EVERY_S, and when an occurrence is planned or cannot be."""

    def __init__(self) -> None:
        self._told_at_s = time.monotonic()

    def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
        """So many rows more; of the people there are this share has been gone through."""
        telemetry.PLANNED.inc(rows)
        if time.monotonic() - self._told_at_s > TELL_EVERY_S:
            self._told_at_s = time.monotonic()
            _LOG.info("planning goes on", campaign_id=campaign.campaign.campaign_id, share=round(share, 3))

    def done(self, campaign: StoredCampaign, rows: int) -> None:
        """An occurrence is planned."""
        _LOG.info("an occurrence is planned", campaign_id=campaign.campaign.campaign_id, rows=rows)

    def held(self, campaign: StoredCampaign, why: str) -> None:
        """Nothing is planned until what is named is mended."""
        telemetry.FAILURES.labels("plan_held").inc()
        _LOG.error(
            "a campaign has nothing to send and is not planned", campaign_id=campaign.campaign.campaign_id, why=why
        )
