"""From what was decided to what a push says; what is alike for all of a campaign's pushes in a batch is found once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from bandits.delay import WINDOW_S
from push.decider import Drawn
from push.drawing import feedback_token
from push.drawing.draft import Carried, PrivateWords, Worn, draft_of
from push.drawing.phrasebook import Phrasebook
from push.fcm.limits import label_of
from schema.campaign import Campaign
from schema.discreet import shown_without
from service.decision.ask import Decided
from service.planning.slate import slate_of


class Desk(NamedTuple):
    """What every draft of this process is written with."""

    key: bytes
    phrasebook: Phrasebook
    instead: PrivateWords

    def __repr__(self) -> str:
        return shown_without(self, "key")


def drafter(campaign: Campaign, desk: Desk, now: datetime) -> Callable[[Decided], Drawn]:
    """Writes the pushes of a campaign that are drawn now."""
    # Shown at the end of its life at the latest, and answered while the answer still counts.
    until_s = int((now + timedelta(seconds=campaign.ttl_s + WINDOW_S)).timestamp())
    buttons = tuple(campaign.buttons)
    for_policy, for_control = (Worn(label_of(campaign.campaign_id, group), buttons) for group in ("policy", "control"))

    def drawn(decided: Decided) -> Drawn:
        if not decided.offer_indices:
            return Drawn(decided.decision_id, None, ",".join(decided.reason_codes))
        stored = decided.catalogue.offers[decided.offer_indices[0]]
        reserved = decided.reserved[0]
        token = feedback_token.sign(desk.key, decided.decision_id, decided.person.user_id, until_s)
        carried = Carried(decided.decision_id, token, reserved and reserved.reservation_id)
        words = desk.phrasebook.words(campaign, stored, decided.catalogue.version, decided.person.locale)
        worn = for_control if decided.in_control else for_policy
        draft = draft_of(stored.offer, stored.id, carried, words, desk.instead, worn)
        return Drawn(decided.decision_id, draft, "", slate_of(decided, campaign, desk.instead))

    return drawn
