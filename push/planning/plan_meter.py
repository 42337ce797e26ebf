"""Whom planning tells how far it is."""

from typing import Protocol

from schema.campaign import StoredCampaign


class PlanMeter(Protocol):
    """Told in the process that plans."""

    def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
        """So many rows more; of the people there are this share has been gone through."""
        ...

    def done(self, campaign: StoredCampaign, rows: int) -> None:
        """An occurrence is planned, with so many rows by this process."""
        ...

    def held(self, campaign: StoredCampaign, why: str) -> None:
        """Nothing is planned until what is named is mended."""
        ...


class Unmetered:
    """Tells nobody."""

    def planned(self, campaign: StoredCampaign, rows: int, share: float) -> None:
        """Nothing."""

    def done(self, campaign: StoredCampaign, rows: int) -> None:
        """Nothing."""

    def held(self, campaign: StoredCampaign, why: str) -> None:
        """Nothing."""
