"""Words found once for an offer, a campaign and a locale are not looked for again: filling in a template takes longer than all else of a draft."""

from typing import Final

from push.drawing.draft import excess_bytes
from push.drawing.wording import words_for
from schema.campaign import Campaign
from schema.offer import Creative, StoredOffer
from schema.wording import Words

_WORDS_MAX: Final = 20_000


class Phrasebook:
    """What this process has found so far, of one version of the catalogue; a campaign that is drawn for never changes its templates."""

    def __init__(self) -> None:
        self._version = 0
        self._found: dict[tuple[str, int, str | None], Words | Creative] = {}

    def words(self, campaign: Campaign, stored: StoredOffer, version: int, locale: str | None) -> Words | Creative:
        """What somebody of this locale reads of an offer of this version of the catalogue, in a message of this campaign."""
        offer = stored.offer
        if not (campaign.templates or offer.localised):
            return offer.creative
        if version != self._version or len(self._found) >= _WORDS_MAX:
            self._version, self._found = version, {}
        key = (campaign.campaign_id, stored.id, locale)
        found = self._found.get(key)
        if found is None:
            found = words_for(offer, campaign.templates, locale, lambda words: not excess_bytes(offer, words))
            self._found[key] = found
        return found
