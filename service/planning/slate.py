"""The slate of a decision as an e-mail tells it."""

from push.channel import Card
from push.decider import Slot
from push.drawing.draft import PrivateWords
from push.drawing.wording import creative_in
from schema.campaign import Campaign
from service.decision.ask import Decided


def slate_of(decided: Decided, campaign: Campaign, words: PrivateWords) -> tuple[Slot, ...]:
    """All that was drawn, by slot; none for a campaign without e-mail. Of a private offer a mail says no more than a push."""
    if "email" not in campaign.channels:
        return ()
    shown = []
    for place, reserved in zip(decided.offer_indices, decided.reserved, strict=True):
        stored = decided.catalogue.offers[place]
        creative = creative_in(stored.offer, decided.person.locale)
        card = Card(creative.title, creative.body, creative.image_url, creative.deep_link)
        if stored.offer.is_private():
            card = Card(words.title, words.body)
        shown.append(Slot(stored.id, card, reserved and reserved.reservation_id))
    return tuple(shown)
