"""What many pushes say: what is alike is written once, around the decision and the token that are each one's own."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bandits.delay import WINDOW_S
from push.drawing import feedback_token
from push.drawing.draft import Carried, Worn, draft_of, message_of
from push.fcm.limits import label_of
from schema.campaign import Campaign
from service.planning.drafter import Desk
from service.store.catalogue import Catalogue

_CARRIED: Final = Carried(UUID(int=0), "token")
_OWN: Final = f'"decision_id":"{_CARRIED.decision_id}","feedback_token":"{_CARRIED.feedback_token}"'.encode()
"""Where both are in a message. Within a text quotes are escaped, so that it is there once."""

_DECISION: Final = b'"decision_id":"'
_TOKEN: Final = b'","feedback_token":"'
_END: Final = b'"'


class Shown(NamedTuple):
    """Whom something is shown, (n,) each: the offer by its place in the catalogue."""

    offers: npt.NDArray[np.int64]
    user_ids: npt.NDArray[np.int64]
    decision_ids: npt.NDArray[np.uint8]
    decision_texts: Sequence[str]
    in_control: npt.NDArray[np.bool_]
    locales: Sequence[str | None]

    def at(self, some: npt.NDArray[np.int64]) -> "Shown":
        """Those at these places."""
        numbers = some.tolist()
        return Shown(
            self.offers[some],
            self.user_ids[some],
            self.decision_ids[some],
            [self.decision_texts[n] for n in numbers],
            self.in_control[some],
            [self.locales[n] for n in numbers],
        )


def messages(campaign: Campaign, desk: Desk, catalogue: Catalogue, shown: Shown, now: datetime) -> list[bytes]:
    """As `drafter` and `message_of` write them, of a campaign that pushes and does nothing else."""
    around = _writer(campaign, desk, catalogue)
    until_s = int((now + timedelta(seconds=campaign.ttl_s + WINDOW_S)).timestamp())
    tokens = feedback_token.sign_many(desk.key, shown.decision_ids, shown.user_ids, until_s)
    keys = zip(shown.offers.tolist(), shown.in_control.tolist(), shown.locales, strict=True)
    written = []
    for key, text, token in zip(keys, shown.decision_texts, tokens, strict=True):
        before, after = around(key)
        written.append(b"".join((before, text.encode(), _TOKEN, token, after)))
    return written


def _writer(
    campaign: Campaign, desk: Desk, catalogue: Catalogue
) -> Callable[[tuple[int, bool, str | None]], tuple[bytes, bytes]]:
    """What stands before a decision and after a token, by offer, control and locale."""
    buttons = tuple(campaign.buttons)
    worn = [Worn(label_of(campaign.campaign_id, group), buttons) for group in ("policy", "control")]
    known: dict[tuple[int, bool, str | None], tuple[bytes, bytes]] = {}

    def around(key: tuple[int, bool, str | None]) -> tuple[bytes, bytes]:
        found = known.get(key)
        if found is None:
            place, in_control, locale = key
            stored = catalogue.offers[place]
            words = desk.phrasebook.words(campaign, stored, catalogue.version, locale)
            draft = draft_of(stored.offer, stored.id, _CARRIED, words, desk.instead, worn[in_control])
            before, after = message_of(draft).split(_OWN)
            found = known[key] = (before + _DECISION, _END + after)
        return found

    return around
